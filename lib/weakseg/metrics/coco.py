"""COCO average precision by faster-coco-eval, the C++ form of the official evaluation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval import mask as coco_mask

from weakseg.metrics.instance_ap import Predicted, Truth, check_labels, check_predictions

# The order in which the official summary lists its twelve numbers.
SUMMARY = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
           "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large")  # fmt: skip


def coco_ap(pictures: Iterable[tuple[str, Predicted, Truth]], classes: int) -> dict[str, float]:
    """COCO's twelve summary numbers of mask predictions, in percent; nan where the set has no object of that kind.

    AP is the mean over IoU 0.50:0.05:0.95, 101 recall points, at most 100 predictions a picture (cocodataset.org).

    Args:
        pictures: (name, (masks (n, H, W), labels 0-based, scores), (masks (m, H, W), labels)). classes: C.
    """
    dataset, results = coco_dicts(pictures, classes)
    if not results or not dataset["annotations"]:
        empty = 0.0 if dataset["annotations"] else float("nan")
        return dict.fromkeys(SUMMARY, empty)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(dataset)
        evaluation = COCOeval_faster(truth, truth.loadRes(results), "segm")
        evaluation.run()
    stats = np.asarray(evaluation.stats[: len(SUMMARY)], dtype=np.float64)
    # The official code writes -1 for "nothing to measure".
    return dict(zip(SUMMARY, np.where(stats < 0, np.nan, 100 * stats).tolist(), strict=True))


def coco_dicts(pictures: Iterable[tuple[str, Predicted, Truth]], classes: int) -> tuple[dict, list[dict]]:
    """Pictures as a COCO data set and a COCO result list with run-length masks; ids count from 1."""
    images, annotations, results = [], [], []
    for number, (name, (masks, labels, scores), (truth_masks, truth_labels)) in enumerate(pictures, start=1):
        labels, scores = check_predictions(name, len(masks), labels, scores, classes)
        H, W = (masks if len(masks) else truth_masks).shape[1:]
        images.append({"id": number, "file_name": name, "height": H, "width": W})
        for mask, label in zip(truth_masks, check_labels(name, truth_labels, classes), strict=True):
            annotations.append({"id": len(annotations) + 1, "iscrowd": 0, **_annotation(mask, label, number)})
        for mask, label, score in zip(masks, labels, scores, strict=True):
            results.append({"score": float(score), **_annotation(mask, label, number)})
    categories = [{"id": each + 1, "name": str(each)} for each in range(classes)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}, results


def _annotation(mask: np.ndarray, label: int, image_id: int) -> dict:
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    # Text, not bytes: the evaluation compares and copies annotations as json would hold them.
    code = {"size": list(code["size"]), "counts": code["counts"].decode()}
    box = [float(side) for side in coco_mask.toBbox(code)]
    identity = {"image_id": image_id, "category_id": int(label) + 1}
    return {**identity, "segmentation": code, "bbox": box, "area": int(mask.sum())}
