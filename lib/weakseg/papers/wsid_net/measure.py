"""Cells of the tables from instances: AP over the set, AP per picture, right counts."""

from weakseg.metrics import class_agnostic, instance_ap
from weakseg.papers.wsid_net import recipe
from weakseg.study.session import Session
from weakseg.study.stages import Artifact
from weakseg.study.tables import Measured

THRESHOLDS = (0.5, 0.7)


def over_the_set(s: Session, row: str, seed: int, predictions: Artifact, split: str = "test") -> list[Measured]:
    """mAP@0.5 and mAP@0.7 over the ranked predictions of all pictures."""
    judged = recipe.evidence(s, predictions, split)
    evidence = instance_ap.InstanceEvidence.load(judged / "evidence.npz")
    return [
        Measured(row, f"mAP@{t}", seed, instance_ap.mean_ap(evidence, t), f"AP over the set, IoU {t}, {split}", judged)
        for t in THRESHOLDS
    ]


def per_picture(s: Session, row: str, seed: int, predictions: Artifact, split: str = "test") -> list[Measured]:
    """The same as the mean of each picture's own AP, by the rules of S4Net's released evaluation."""
    judged = recipe.picture_evidence(s, predictions, split)
    evidence = class_agnostic.PictureEvidence.load(judged / "evidence.npz")
    return [
        Measured(
            row,
            f"mAP@{t} per picture",
            seed,
            class_agnostic.mean_picture_ap(evidence, t),
            f"mean AP of a picture (S4Net), IoU {t}, {split}",
            judged,
        )
        for t in THRESHOLDS
    ]


def right_count(s: Session, row: str, seed: int, predictions: Artifact, split: str = "test") -> Measured:
    """Share of the pictures with the right number of instances."""
    judged = recipe.count_evidence(s, predictions, split)
    evidence = class_agnostic.CountEvidence.load(judged / "evidence.npz")
    value = class_agnostic.right_counts(evidence)
    return Measured(row, "right count", seed, value, f"instances that score above 0, {split}", judged)
