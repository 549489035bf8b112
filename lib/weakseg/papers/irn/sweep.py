"""How pseudo labels depend on one setting, measured on the set-aside pictures (on train where none are set aside)."""

import json
from collections.abc import Sequence

import pandas as pd

from weakseg.papers.irn import recipe
from weakseg.study.session import Session


def judged(s: Session, seed: int) -> dict[str, list[float]]:
    """Lists "grid", "ap50" and "miou": the whole method on pictures `data.aside` at every background score.

    The scores of the grid are tried also where parameters fix one.
    """
    searching = s.changed(labels={"background": None})
    found = recipe.by_background(searching, seed, "full", s.params.data.aside)
    return json.loads((found / "chosen.json").read_text())


def background_scores(s: Session) -> pd.DataFrame:
    """One line per background score and seed: columns "background score", AP50, mIoU, seed."""
    found = {seed: judged(s, seed) for seed in s.seeds}
    lines = [
        {"background score": score, "AP50": ap50, "mIoU": miou, "seed": seed}
        for seed, f in found.items()
        for score, ap50, miou in zip(f["grid"], f["ap50"], f["miou"], strict=True)
    ]
    return pd.DataFrame(lines)


def best(s: Session, seed: int) -> dict[str, float]:
    """AP50 and mIoU on pictures `data.aside`, each at its own best background score."""
    found = judged(s, seed)
    return {"AP50": max(found["ap50"]), "mIoU": max(found["miou"])}


def setting(s: Session, group: str, key: str, values: Sequence[float]) -> pd.DataFrame:
    """One line per value of one parameter and seed: columns `key`, AP50, mIoU, seed.

    The background score is chosen anew for every value, so that a curve shows the setting and not a threshold that no
    longer fits.
    """
    lines = [
        {key: value, **best(s.changed(**{group: {key: value}}), seed), "seed": seed}
        for seed in s.seeds
        for value in values
    ]
    return pd.DataFrame(lines)
