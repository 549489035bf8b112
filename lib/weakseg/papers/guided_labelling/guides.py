"""Guide labels: what the segmenter learns from, made of seeds and saliency (Oh et al. 2017, section 5.1, appendix E).

Label maps are uint8 (H, W): 0 background, k + 1 for class k, 255 ignored. All components are 8-connected.
"""

import cv2
import numpy as np
from pydantic import Field
from skimage import measure

from weakseg.ops.crf import CrfParams, refine
from weakseg.study.params import Group

IGNORED = 255
DEEPLAB_CRF = CrfParams(bilateral_weight=4.0, bilateral_xy=121.0, bilateral_rgb=5.0, gaussian_weight=3.0)
CERTAIN = (0.001, 0.999)  # a seed mask as probabilities, before it is blurred (released code)
SLIP_ROWS = 2  # rows that the released code resets to background


class GuideParams(Group):
    """How seeds and saliency become labels.

    threshold: confidence at which a pixel is a seed (tau). smallest: share of the picture below which a saliency
    component is dropped. blur: width in pixels of the Gaussian over seed masks, and crf: the CRF, where seeds of
    several classes share one component.
    faithful: as the released code, which the paper's numbers come from: seed components under `smallest_seed` pixels,
    or one pixel wide, are dropped; the CRF takes blurred masks as scores, not as probabilities; every pixel still
    ignored at the end becomes background; and the two top rows do, where a background seed touches a component.
    """

    threshold: float = Field(0.2, gt=0, lt=1)
    smallest: float = Field(0.01, ge=0, lt=1)
    smallest_seed: int = Field(25, ge=1)
    blur: float = Field(10.0, gt=0)
    crf: CrfParams = DEEPLAB_CRF
    faithful: bool = False


def components(mask: np.ndarray, smallest: float) -> np.ndarray:
    """Components of a mask bool (H, W) with at least `smallest` pixels, numbered 1..n in int (H, W); 0 elsewhere."""
    found = measure.label(mask, connectivity=2)
    kept = np.bincount(found.ravel()) >= smallest
    kept[0] = False
    return (np.cumsum(kept) * kept)[found]


def g0(salient: np.ndarray, tags: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """G0: one tag of the picture, drawn at random, on the whole saliency mask bool (H, W). tags: (C,) of 0 and 1."""
    label = rng.choice(np.flatnonzero(tags)) + 1
    return np.where(salient, label, 0).astype(np.uint8)


def g1(regions: np.ndarray, alone: np.ndarray, whole: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """G1: every saliency component takes the tagged class whose score gains most when all else is blanked.

    regions: components (H, W) numbered 1..n. alone: scores (n, C) of the picture with only component i left. whole:
    scores (C,) of the picture. tags: (C,).
    The paper leaves open which score is subtracted, and what happens when none gains: here alone - whole, and the
    smallest loss.
    """
    gain = np.where(tags > 0, alone - whole, -np.inf)
    labels = np.concatenate([[0], gain.argmax(1) + 1])
    return labels[regions].astype(np.uint8)


def g2(image: np.ndarray, seeds: np.ndarray, salient: np.ndarray, guide: GuideParams) -> np.ndarray:
    """G2: seeds spread over the saliency components that they touch.

    image: uint8 (H, W, 3). seeds: label map without ignored pixels; 0 is a background seed. salient: bool (H, W).
    A component takes the class of the seeds in it; the CRF divides it among several; without any it is ignored. A
    foreground seed that touches a component is ignored where it leaves it; one that touches none stays. What is neither
    salient nor a foreground seed is background.

    Raises:
        ValueError: maps of different sizes.
    """
    if not image.shape[:2] == seeds.shape == salient.shape:
        raise ValueError(
            f"picture {image.shape[:2]}, seeds {seeds.shape}, saliency {salient.shape}: sizes differ; "
            "make all three from the same picture"
        )
    seeds = large_seeds(seeds, guide.smallest_seed) if guide.faithful else seeds
    regions = components(salient, guide.smallest * salient.size)
    labels = np.where(spreading(seeds, regions), IGNORED, seeds).astype(np.uint8)
    for number in range(1, regions.max() + 1):
        inside = regions == number
        labels[inside] = labels_inside(image, seeds, inside, guide)[inside]
    return as_released(labels, seeds, regions) if guide.faithful else labels


def large_seeds(seeds: np.ndarray, smallest: int) -> np.ndarray:
    """Seeds with the components of fewer than `smallest` pixels, or one pixel high or wide, ignored (released code)."""
    parts = measure.label(seeds.astype(int) + 1, connectivity=2)
    thin = [part.label for part in measure.regionprops(parts) if part.area < smallest or min(part.image.shape) < 2]
    return np.where(np.isin(parts, thin), IGNORED, seeds).astype(np.uint8)


def spreading(seeds: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """bool (H, W): the foreground seed components that touch a saliency component, in full extent."""
    foreground = (seeds > 0) & (seeds != IGNORED)
    parts = measure.label(np.where(foreground, seeds, 0), connectivity=2)
    return foreground & np.isin(parts, parts[regions > 0])


def labels_inside(image: np.ndarray, seeds: np.ndarray, inside: np.ndarray, guide: GuideParams) -> np.ndarray:
    """Labels (H, W) that hold inside one component bool (H, W): by the number of classes with a seed there."""
    classes = np.setdiff1d(seeds[inside], (0, IGNORED))
    if len(classes) < 2:
        return np.full(seeds.shape, classes[0] if len(classes) else IGNORED, np.uint8)
    return divide(image, seeds, classes, guide)


def divide(image: np.ndarray, seeds: np.ndarray, classes: np.ndarray, guide: GuideParams) -> np.ndarray:
    """The whole picture divided among `classes` (n >= 2) by the dense CRF, from the seeds that each of them has."""
    return classes[refine(image, seed_probabilities(seeds, classes, guide), guide.crf).argmax(0)]


def seed_probabilities(seeds: np.ndarray, classes: np.ndarray, guide: GuideParams) -> np.ndarray:
    """Blurred seed masks of `classes`, summing to 1 at every pixel, float32 (n, H, W)."""
    masks = np.clip(seeds == classes[:, None, None], *CERTAIN).astype(np.float32)
    scores = np.stack([cv2.GaussianBlur(mask, (0, 0), guide.blur) for mask in masks])
    weights = np.exp(scores) if guide.faithful else scores  # softmax of scores: the CRF sees -score up to a constant
    return weights / weights.sum(0)


def as_released(labels: np.ndarray, seeds: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The released code's last steps: no label stays ignored, and its indexing slip in the top rows."""
    labels = np.where(labels == IGNORED, 0, labels).astype(np.uint8)
    if ((seeds == 0) & (regions > 0)).any():
        labels[:SLIP_ROWS] = 0
    return labels
