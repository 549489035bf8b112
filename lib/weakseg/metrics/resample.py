"""One door to all evidence: read a file, compute a table column from it, resample its pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from weakseg.metrics import abo, boxes, class_agnostic, instance_ap, seed_points, seeds, semantic, tags
from weakseg.metrics.evidence import Evidence

_KINDS: dict[str, type[Evidence]] = {
    each.kind: each
    for each in (
        instance_ap.InstanceEvidence,
        semantic.SemanticEvidence,
        tags.TagEvidence,
        boxes.BoxEvidence,
        boxes.CorLocEvidence,
        abo.OverlapEvidence,
        seeds.SeedEvidence,
        class_agnostic.PictureEvidence,
        class_agnostic.CountEvidence,
    )
}
_COLUMNS: dict[tuple[str, str], Callable] = {
    ("semantic", "mIoU"): semantic.mean_iou,
    ("tags", "mAP"): tags.mean_average_precision,
    ("corloc", "CorLoc"): boxes.mean_corloc,
    ("overlaps", "ABO"): abo.mean_best_overlap,
    ("overlaps", "mIoU*"): abo.mean_best_overlap,
    ("seeds", "mP"): seeds.mean_precision,
    ("seeds", "FgP20"): partial(seed_points.precision_at, "foreground"),
    ("seeds", "BgP80"): partial(seed_points.precision_at, "background"),
    ("seeds", "FgP"): partial(seed_points.label_value, "foreground_precision"),
    ("seeds", "FgR"): partial(seed_points.label_value, "foreground_recall"),
    ("seeds", "BgP"): partial(seed_points.label_value, "background_precision"),
    ("seeds", "BgR"): partial(seed_points.label_value, "background_recall"),
    ("counts", "counts"): class_agnostic.right_counts,
}
_RANKED: dict[str, Callable] = {
    "instances": instance_ap.mean_ap,
    "boxes": boxes.mean_ap,
    "picture_instances": class_agnostic.mean_picture_ap,
}
_STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "difference": lambda left, right: left - right,
    "ratio": lambda left, right: np.divide(left, right, out=np.full(left.shape, np.nan), where=right != 0),
}
_DRAWS_AT_ONCE = 50  # bounds the working memory to 50 rows of weights times the predictions


def load(path: Path | str) -> Evidence:
    """Read an evidence file of any kind.

    Raises:
        ValueError: the file is no evidence file of this library.
    """
    with np.load(Path(path), allow_pickle=False) as archive:
        kind = str(archive["kind"]) if "kind" in archive else None
    if kind not in _KINDS:
        raise ValueError(f"{path}: evidence kind {kind!r} is unknown; known are {', '.join(sorted(_KINDS))}")
    return _KINDS[kind].load(path)


def value(evidence: Evidence, column: str, weights: np.ndarray | None = None) -> float | np.ndarray:
    """The value of a table column in percent.

    Args:
        column: "AP50", "AP70", ... (instances, boxes), "mIoU" (semantic), "mAP" (tags), "CorLoc", "ABO", "mIoU*"
            (overlaps), "mP", "FgP20", "BgP80" (seeds over a sweep), "FgP", "FgR", "BgP", "BgR" (seeds as label maps),
            "counts" (counts), "AP50", "AP70" also as means over pictures (picture_instances).
        weights: (N,) how often each picture counts, or (B, N) for B values at once.

    Raises:
        ValueError: this kind of evidence has no such column.
    """
    threshold = re.fullmatch(r"AP(\d{1,3})", column)
    if threshold and evidence.kind in _RANKED:
        return _RANKED[evidence.kind](evidence, int(threshold[1]) / 100, weights)
    if (evidence.kind, column) not in _COLUMNS:
        known = [name for kind, name in _COLUMNS if kind == evidence.kind] or ["AP50", "AP70"]
        raise ValueError(f"column '{column}' does not come from evidence of kind '{evidence.kind}'; it has {known}")
    return _COLUMNS[evidence.kind, column](evidence, weights)


def bootstrap(
    left: Evidence,
    right: Evidence,
    column_left: str,
    column_right: str,
    statistic: str | Callable[[np.ndarray, np.ndarray], np.ndarray] = "difference",
    draws: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Paired bootstrap of two columns: `draws` values (draws,) of their statistic, in percent; see `resampled`.

    Args:
        statistic: "difference" (left - right), "ratio" (left / right), or a function of two (B,) arrays.
    """
    combine = _STATISTICS[statistic] if isinstance(statistic, str) else statistic
    return combine(*resampled([left, right], [column_left, column_right], draws, seed).T)


def resampled(evidence: Sequence[Evidence], columns: Sequence[str], draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Paired bootstrap over the pictures: one column of each evidence on every draw, (draws, n), in percent.

    Every draw takes N pictures with replacement and evaluates all on the same ones (Efron 1979). The same seed
    and number of pictures give the same draws, so evidence of several training seeds can be resampled together.

    Raises:
        ValueError: they were not measured on the same pictures.
    """
    names = evidence[0].names
    orders = [_same_pictures(names, each.names) for each in evidence]
    rng, count = np.random.default_rng(seed), len(names)
    result = []
    for start in range(0, draws, _DRAWS_AT_ONCE):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=min(_DRAWS_AT_ONCE, draws - start))
        parts = zip(evidence, columns, orders, strict=True)
        result.append(np.stack([value(each, column, weights[:, order]) for each, column, order in parts], axis=1))
    return np.concatenate(result)  # (draws, n)


def _same_pictures(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Positions in `left` of the pictures of `right`."""
    place = {name: index for index, name in enumerate(left.tolist())}
    if len(place) != len(left) or sorted(place) != sorted(right.tolist()):
        missing = sorted(set(left.tolist()) ^ set(right.tolist()))[:3]
        raise ValueError(
            f"paired bootstrap: {len(left)} and {len(right)} pictures, not the same ones each once; differing {missing}"
        )
    return np.array([place[name] for name in right.tolist()], dtype=int)
