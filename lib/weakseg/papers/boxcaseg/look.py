"""What the method sees of single boxes and makes of them, for figures and lessons."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from weakseg.metrics.overlap import box_iou
from weakseg.papers.boxcaseg.boxes import Corners, jittered
from weakseg.papers.boxcaseg.infer import head_chances
from weakseg.papers.boxcaseg.model import BoxCaseg
from weakseg.papers.boxcaseg.samples import cut, normalised
from weakseg.papers.boxcaseg.stages import SegmenterParams, read_boxes
from weakseg.study.artifacts import load_instances
from weakseg.study.machine import device
from weakseg.study.stages import Artifact


@dataclass(frozen=True)
class Crop:
    """A box crop as the network is given it in training: colours uint8 (s, s, 3), inside bool (s, s), the filled box,
    and the box itself in pixels of the crop, half-open."""

    colours: np.ndarray
    inside: np.ndarray
    box: Corners


def training_crop(image: np.ndarray, corners: np.ndarray, side: int, draw: int = 0) -> Crop:
    """One random crop around a box of a picture uint8 (H, W, 3), as in training but never mirrored."""
    x0, y0, x1, y1 = (int(edge) for edge in corners)
    window = jittered(corners, image.shape[:2], np.random.default_rng(draw))
    filled = np.zeros(image.shape[:2], np.uint8)
    filled[y0:y1, x0:x1] = 1
    inside = cut(filled, window, side).astype(bool)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return Crop(cut(image, window, side), inside, (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))


def box_crop(image: np.ndarray, corners: np.ndarray, how: SegmenterParams) -> np.ndarray:
    """What is read at inference: exactly the box, uint8 (s, s, 3) with s = samples.test_side."""
    return cut(image, tuple(int(edge) for edge in corners), how.samples.test_side)


def chances(
    net: BoxCaseg, colours: np.ndarray, how: SegmenterParams, alpha: float | None = None
) -> dict[str, np.ndarray]:
    """What each head makes of a crop uint8 (s, s, 3): "weak", "salient", "transferred", "fused" -> (s, s) in [0, 1].

    alpha: weight of the salient head in the fused map; None: as in training.
    """
    crop = normalised(colours, "crop", how.samples.faithful)
    return head_chances(net, crop, how.loss.alpha if alpha is None else alpha, how.loss.mix)


@torch.inference_mode()
def features(net: BoxCaseg, colours: np.ndarray, how: SegmenterParams) -> np.ndarray:
    """Mean strength of the features of a crop, float (s / 4, s / 4) in [0, 1]."""
    crop = normalised(colours, "crop", how.samples.faithful)[None].to(device())
    strength = net.backbone(crop)[0].abs().mean(0).cpu().numpy()
    return strength / max(strength.max(), 1e-9)


@torch.inference_mode()
def kernels(net: BoxCaseg) -> dict[str, np.ndarray]:
    """First kernel of each head, absolute, in [0, 1] up to the 99th percentile: (C, C), one filter a row."""
    found = {"weak": net.weak.mix.weight, "salient": net.salient.mix.weight}
    found["transferred"] = net.transferred.mix(net.weak.mix)[0]
    maps = {name: kernel[:, :, 0, 0].abs().cpu().numpy() for name, kernel in found.items()}
    return {name: (values / max(np.quantile(values, 0.99), 1e-12)).clip(max=1) for name, values in maps.items()}


def laid_out(image: np.ndarray, corners: np.ndarray, maps: list[np.ndarray]) -> np.ndarray:
    """Maps (s, s) of the boxes (n, 4) of a picture (H, W, 3), each in its box, the highest where boxes overlap."""
    whole = np.zeros(image.shape[:2], np.float32)
    for (x0, y0, x1, y1), found in zip(np.asarray(corners, int), maps, strict=True):
        part = cv2.resize(found, (int(x1 - x0), int(y1 - y0)), interpolation=cv2.INTER_LINEAR)
        whole[y0:y1, x0:x1] = np.maximum(whole[y0:y1, x0:x1], part)
    return whole


def disputed(proxies: Artifact, names: list[str]) -> dict[str, float]:
    """For each picture with several masks the share of masked pixels that two or more of them claim, in percent."""
    shares = {}
    for name in names:
        claims = load_instances(proxies / "instances", name)[0].sum(0)
        if claims.max(initial=0) > 0:
            shares[name] = 100 * float((claims > 1).sum() / (claims > 0).sum())
    return shares


def closest_pair(proxies: Artifact, name: str) -> tuple[int, int]:
    """Numbers of the two boxes of a picture that overlap most, the larger box first; both 0 for a single box."""
    corners = read_boxes(proxies, name)
    overlap = np.triu(box_iou(corners, corners), 1)
    pair = np.unravel_index(overlap.argmax(), overlap.shape) if len(corners) > 1 else (0, 0)
    size = (corners[:, 2:] - corners[:, :2]).prod(1)
    first, second = sorted((int(k) for k in pair), key=lambda k: -size[k])
    return first, second
