"""Seeders, one interface: a picture and its tags in, one heat map per tagged class out (Oh et al. 2017, section 4)."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from pydantic import Field

from weakseg.nets import augment, vgg
from weakseg.ops import backprop
from weakseg.ops.crf import CrfParams, refine
from weakseg.papers.guided_labelling.frame import Frame, frame_of, framed, unframed
from weakseg.papers.guided_labelling.guides import DEEPLAB_CRF
from weakseg.papers.guided_labelling.model import ClassMaps, GapNet
from weakseg.study.machine import device
from weakseg.study.params import Group

SeederName = Literal[
    "gap_lowres", "gap_highres", "gap_roi", "gap_deeplab", "vanilla", "guided", "excitation", "centre_mean_shape"
]
FORMS: dict[SeederName, vgg.Form] = {
    "gap_lowres": "lowres",
    "gap_highres": "highres",
    "gap_roi": "roi",
    "gap_deeplab": "deeplab",
    "vanilla": "vgg16",
    "guided": "vgg16",
    "excitation": "vgg16",
}
GAP = ("gap_lowres", "gap_highres", "gap_roi", "gap_deeplab")


class BackpropParams(Group):
    """Smoothing of back-propagated maps: a Gaussian of `blur` pixels, then the dense CRF (null: none)."""

    blur: float = Field(5.0, gt=0)
    crf: CrfParams | None = DEEPLAB_CRF


@dataclass(frozen=True)
class Heat:
    """Heat of the tagged classes of one picture. classes (n,) 0-based; maps float32 (n, H, W), each with maximum 1,
    or 0 everywhere where nothing spoke for the class."""

    classes: np.ndarray
    maps: np.ndarray

    def label(self) -> tuple[np.ndarray, np.ndarray]:
        """(label, confidence), both (H, W): the tagged class 1..C with the highest heat, and that heat."""
        return (self.classes[self.maps.argmax(0)] + 1).astype(np.uint8), self.maps.max(0)


def tagged(tags: np.ndarray, classes: int, name: str) -> np.ndarray:
    """The tagged classes (n,), 0-based, of tags (C,) of 0 and 1.

    Raises:
        ValueError: a picture without tag, or tags for another list of classes; names the picture.
    """
    tags = np.asarray(tags)
    if tags.shape != (classes,) or not np.isin(tags, (0, 1)).all():
        raise ValueError(f"{name}: tags {tags.tolist()} are not 0 or 1 for each of {classes} classes; correct them")
    if not tags.any():
        raise ValueError(f"{name}: has no tag, so no class to look for; tag it or take it out of the list")
    return np.flatnonzero(tags)


def normalised(maps: np.ndarray) -> np.ndarray:
    """Each map (n, H, W) over its own maximum; 0 where that is not positive. Negative values stay."""
    peak = maps.max((1, 2), keepdims=True, initial=0)
    return np.divide(maps, peak, out=np.zeros_like(maps, np.float32), where=peak > 0)


@torch.inference_mode()
def gap_maps(net: GapNet, picture: np.ndarray, classes: np.ndarray, frame: Frame | None) -> np.ndarray:
    """Class maps (n, h, w) of a trained GAP net over the framed picture, neither clipped nor normalised."""
    batch = augment.to_tensor(framed(picture, frame))[None].to(device())
    return net.cam(batch)[0, torch.as_tensor(classes, device=batch.device)].float().cpu().numpy()


def gap_heat(net: GapNet, picture: np.ndarray, tags: np.ndarray, side: int | None, name: str = "picture") -> Heat:
    """Heat of a trained GAP net: picture uint8 (H, W, 3), tags (C,); maps over their maxima, no ReLU."""
    size = picture.shape[:2]
    classes, frame = tagged(tags, net.fc8.out_channels, name), frame_of(size, side)
    return Heat(classes, normalised(unframed(gap_maps(net, picture, classes, frame), size, frame)))


def backprop_heat(
    twin: torch.nn.Module,
    picture: np.ndarray,
    tags: np.ndarray,
    method: backprop.Method,
    side: int | None,
    smooth: BackpropParams,
    name: str = "picture",
) -> Heat:
    """Heat of a plain classifier's twin (see `twin_of`): back-propagated, then smoothed."""
    classes = tagged(tags, len(tags), name)
    return Heat(classes, smoothed(picture, backprop_maps(twin, picture, classes, method, side), smooth))


def twin_of(net: GapNet, method: backprop.Method) -> torch.nn.Module:
    """The classifier, rewritten so that its class maps back-propagate by `method`."""
    return backprop.twin(ClassMaps(net), method)


def backprop_maps(
    twin: torch.nn.Module, picture: np.ndarray, classes: np.ndarray, method: backprop.Method, side: int | None
) -> np.ndarray:
    """Raw saliency float32 (n, H, W) of `classes` for one picture."""
    frame = frame_of(picture.shape[:2], side)
    batch = augment.to_tensor(framed(picture, frame))[None].to(device()).repeat(len(classes), 1, 1, 1)
    labels = torch.as_tensor(classes, device=batch.device)
    maps = backprop.respond(twin, batch, labels, method).cpu().numpy()
    return unframed(maps, picture.shape[:2], frame)


def smoothed(picture: np.ndarray, maps: np.ndarray, smooth: BackpropParams) -> np.ndarray:
    """Maps (n, H, W) >= 0: Gaussian, then each class against the rest by the CRF; every map has maximum 1."""
    maps = normalised(np.stack([cv2.GaussianBlur(each, (0, 0), smooth.blur) for each in maps]))
    if smooth.crf is None:
        return maps
    return normalised(np.stack([refine(picture, np.stack([1 - each, each]), smooth.crf)[1] for each in maps]))


def mean_shape(masks: list[np.ndarray], side: int = 64) -> np.ndarray:
    """The average of class masks bool (H, W) of any sizes, each resized to side x side, over its maximum."""
    small = [cv2.resize(each.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) for each in masks]
    return normalised(np.mean(small, axis=0)[None])[0]


def centre_heat(shape: np.ndarray, picture: np.ndarray, tags: np.ndarray, name: str = "picture") -> Heat:
    """The floor: every tagged class gets the mean shape (side, side), wherever and whatever it is."""
    classes = tagged(tags, len(tags), name)
    maps = unframed(np.repeat(shape[None], len(classes), 0), picture.shape[:2], None)
    return Heat(classes, normalised(maps))
