"""SDI (Khoreva et al., CVPR 2017, "Simple does it"): boxes become masks where GrabCut and a region proposal agree.

The form called M n G+, with plain GrabCut in place of GrabCut with a learned boundary term, and region grouping in
place of MCG, both of which were trained on masks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field

from weakseg.data.sets import DataParams, open_set
from weakseg.data.voc import Box
from weakseg.data.weak import BoxView, known_boxes
from weakseg.metrics.overlap import box_iou
from weakseg.nets.final import boxes_of
from weakseg.ops.grabcut import grabcut, pixel_box
from weakseg.ops.proposals import ProposalParams, load_proposals, propose
from weakseg.study.artifacts import save_instances, save_labels
from weakseg.study.machine import parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store

VOID = 255


class SdiParams(Group):
    """iterations: of GrabCut. margin: share of the box's sides that GrabCut sees around it as sure background.

    overlap: smallest IoU of a proposal's box with the given box; below it no proposal votes and GrabCut decides alone.
    smallest: a mask that covers less than this share of its box is given up, first for GrabCut's, then for the box.
    """

    iterations: int = Field(5, ge=1)
    margin: float = Field(0.25, gt=0)
    overlap: float = Field(0.5, ge=0, lt=1)
    smallest: float = Field(0.25, ge=0, lt=1)
    proposals: ProposalParams = ProposalParams()


def agreed_mask(
    image: np.ndarray,
    box: tuple[float, float, float, float],
    proposals: np.ndarray,
    extents: np.ndarray,
    sdi: SdiParams,
) -> tuple[np.ndarray, np.ndarray]:
    """The object in a box, and where the two opinions differ.

    Args:
        image: uint8 (H, W, 3). box: x0, y0, x1, y1, half-open. proposals: bool (n, H, W), other objects'
            included. extents: (n, 4), their tight boxes.

    Returns:
        mask: bool (H, W), called object by GrabCut and by the proposal whose box fits the given one best.
        doubt: bool (H, W), called object by one of them only; nothing where a fallback had to be taken.
    """
    x0, y0, x1, y1 = pixel_box(box, *image.shape[:2])
    filled = np.zeros(image.shape[:2], dtype=bool)
    filled[y0:y1, x0:x1] = True
    cut = grabcut(image, box, sdi.iterations, sdi.margin)
    fit = box_iou(np.array([[x0, y0, x1, y1]]), extents)[0]
    voted = proposals[fit.argmax()] & filled if fit.max(initial=0) >= max(sdi.overlap, 1e-9) else cut
    enough = sdi.smallest * filled.sum()
    if (cut & voted).sum() >= enough:
        return cut & voted, cut ^ voted
    return (cut if cut.sum() >= enough else filled), np.zeros_like(filled)


def paint(masks: np.ndarray, doubts: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Label map uint8 (H, W) of n objects: larger boxes first, so that the smaller one wins; 255 where in doubt.

    Args:
        masks, doubts: bool (n, H, W). labels: (n,) 0-based. sizes: (n,) areas of the boxes.
    """
    label_map = np.zeros(masks.shape[1:], dtype=np.uint8)
    for number in np.argsort(-sizes, kind="stable"):
        label_map[doubts[number]] = VOID
        label_map[masks[number]] = labels[number] + 1
    return label_map


def sdi_labels(
    out: Path, *, pictures: Artifact, proposals: Artifact, data: DataParams, sdi: SdiParams, split: str = "trainaug"
) -> None:
    """Stage: pseudo labels from boxes: instances/<name>.npz (score 1) and semantic/<name>.png (255 where in doubt).

    A picture without annotation has no boxes to learn from: its label map is all 255 and it has no instances.
    """
    view = BoxView(open_set(pictures, data, split))
    items = [(name, view.image(index), known_boxes(view, index)) for index, name in enumerate(view.names)]
    missing = sum(boxes is None for _, _, boxes in items)
    if missing == len(items):
        raise FileNotFoundError(f"SDI: no picture of {split} has an annotation with boxes; fetch the annotations")
    if missing:
        print(f"SDI: {missing} of {len(items)} pictures have no annotation and stay unlabelled", flush=True)
    parallel(partial(_label_picture, out, proposals, sdi), items, title="SDI labels")


def _label_picture(
    out: Path, proposals: Artifact, sdi: SdiParams, item: tuple[str, np.ndarray, list[Box] | None]
) -> None:
    name, image, boxes = item
    H, W, _ = image.shape
    corners = [(box.x0, box.y0, box.x1, box.y1) for box in boxes or ()]
    candidates = load_proposals(proposals, name)
    extents = boxes_of(candidates)
    found = np.array([agreed_mask(image, each, candidates, extents, sdi) for each in corners], dtype=bool)
    masks, doubts = found.reshape(-1, 2, H, W).swapaxes(0, 1)  # (n, H, W) each
    labels = np.array([box.label for box in boxes or ()], dtype=np.int64)
    sizes = np.array([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in corners])
    label_map = np.full((H, W), VOID, np.uint8) if boxes is None else paint(masks, doubts, labels, sizes)
    save_instances(out / "instances", name, masks, labels, np.ones(len(labels), dtype=np.float32))
    save_labels(out / "semantic", name, label_map)


def pseudo_labels(
    store: Store, *, pictures: Artifact, data: DataParams, sdi: SdiParams, split: str = "trainaug"
) -> Artifact:
    """Proposals, then labels: an artifact with instances/ and semantic/ for the final models."""
    proposals = store(propose, pictures=pictures, data=data, split=split, proposals=sdi.proposals)
    return store(sdi_labels, pictures=pictures, proposals=proposals, data=data, sdi=sdi, split=split)
