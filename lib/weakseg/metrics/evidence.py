"""What a measurement saw, kept per picture so that a claim can resample the pictures later."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import ClassVar, Self

import numpy as np


class Evidence:
    """Base of the evidence records: frozen dataclasses whose fields are numpy arrays.

    `kind` names the record inside the file; `columns` says which table columns can be computed from it.
    Every record has `names` (N,), the pictures in order; all per-picture weights follow that order.
    """

    kind: ClassVar[str]
    names: np.ndarray

    def save(self, path: Path | str) -> None:
        """Write the record as an npz file without pickles; the same record gives the same bytes."""
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        np.savez_compressed(Path(path), kind=np.array(self.kind), **arrays)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a record back.

        Raises:
            ValueError: the file holds another kind of evidence.
        """
        with np.load(Path(path), allow_pickle=False) as archive:
            kind = str(archive["kind"])
            if kind != cls.kind:
                raise ValueError(f"{path}: holds evidence of kind '{kind}', wanted '{cls.kind}'")
            return cls(**{field.name: archive[field.name] for field in fields(cls)})


def picture_weights(names: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Weights of the N pictures as rows (B, N): ones when None, one row when (N,).

    Raises:
        ValueError: the last axis is not N long, or a weight is negative.
    """
    if weights is None:
        return np.ones((1, len(names)))
    rows = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if rows.shape[-1] != len(names):
        raise ValueError(f"weights: {rows.shape[-1]} given for {len(names)} pictures; give one per picture")
    if (rows < 0).any():
        raise ValueError("weights: a negative weight; a weight says how often a picture counts")
    return rows


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without the nan entries (classes without truth); nan where all are nan."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def ratio(part: np.ndarray, whole: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """part / whole, with `empty` where the whole is zero."""
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    return np.divide(part, whole, out=np.full(shape, empty), where=np.broadcast_to(whole, shape) > 0)
