"""The saliency net on its own training pictures, for figures 5 and 9; no other part of the study reads this."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakseg.nets.deeplab import build_deeplab
from weakseg.nets.final import trained
from weakseg.papers.guided_labelling import recipe, saliency
from weakseg.study.artifacts import load_labels
from weakseg.study.session import Session


@dataclass(frozen=True)
class SalientExample:
    """One salient picture. image uint8 (H, W, 3); box, target, salient bool (H, W): the box that GrabCut starts from,
    what it cuts out, and what the net has learned; agreement: IoU of the last two in percent."""

    name: str
    image: np.ndarray
    box: np.ndarray
    target: np.ndarray
    salient: np.ndarray
    agreement: float


def salient_examples(s: Session, seed: int, indices: Sequence[int]) -> list[SalientExample]:
    """Those training pictures of the saliency net, by their place in its list."""
    params = s.params.saliency
    boxed, targets = saliency.boxed_pictures(recipe.pictures(s).path, params.source), recipe.salient_targets(s)
    net = trained(build_deeplab(params.net, 2, pretrained=False), recipe.saliency_net(s, seed))
    found = []
    for index, stored in saliency.foreground_maps(net, boxed.image, indices, params):
        name, image, salient = boxed.names[index], boxed.image(index), stored >= params.level * saliency.FULL
        target = load_labels(targets / "semantic", name) > 0
        box = box_mask(boxed.box(index), image.shape[:2])
        found.append(SalientExample(name, image, box, target, salient, 100 * overlap(salient, target)))
    return found


def salient_count(s: Session) -> int:
    """How many pictures the saliency net learns from."""
    return len(saliency.boxed_pictures(recipe.pictures(s).path, s.params.saliency.source).names)


def box_mask(box: tuple[float, ...], size: tuple[int, int]) -> np.ndarray:
    """bool (H, W): inside the box x0, y0, x1, y1 (pixels, half-open, rounded)."""
    x0, y0, x1, y1 = (max(0, round(side)) for side in box)
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """IoU in [0, 1] of two masks bool (H, W); 0 when both are empty."""
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 0.0
