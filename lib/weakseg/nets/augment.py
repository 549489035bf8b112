"""Augmentations that move a picture and its label map together. Arrays are numpy, a label map may be None.

Every function takes and returns (picture (H, W, 3) uint8, labels (H, W) uint8 or None); chance comes from `rng` alone.
Padding is the ImageNet mean colour, so that it is (nearly) zero after normalisation, and 255 (ignored) in the labels.
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch

from weakseg.nets.backbones import IMAGENET_MEAN

MEAN_COLOUR = tuple(round(255 * value) for value in IMAGENET_MEAN)
VOID = 255
Pair = tuple[np.ndarray, np.ndarray | None]


def resize(picture: np.ndarray, labels: np.ndarray | None, size: tuple[int, int]) -> Pair:
    """To size (H, W): bicubic for the picture, nearest for the labels."""
    height, width = size
    labels = None if labels is None else cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), labels


def rescale(picture: np.ndarray, labels: np.ndarray | None, factor: float) -> Pair:
    """By one factor on both sides, at least one pixel; a factor of 1 changes nothing."""
    height, width = picture.shape[:2]
    if factor == 1:
        return picture, labels
    return resize(picture, labels, (max(1, round(height * factor)), max(1, round(width * factor))))


def random_long_side(picture: np.ndarray, labels: np.ndarray | None, sides: tuple[int, int], rng) -> Pair:
    """The long side becomes a uniform integer in sides[0]..sides[1], ends included (IRN: 320..640)."""
    return rescale(picture, labels, int(rng.integers(sides[0], sides[1] + 1)) / max(picture.shape[:2]))


def random_scale(picture: np.ndarray, labels: np.ndarray | None, scales: tuple[float, float], rng) -> Pair:
    """By a uniform factor in scales[0]..scales[1] (IRNet: 0.5..1.5)."""
    return rescale(picture, labels, float(rng.uniform(*scales)))


def random_flip(picture: np.ndarray, labels: np.ndarray | None, rng) -> Pair:
    """Left and right change places in one of two cases."""
    if rng.random() < 0.5:
        return picture, labels
    return np.ascontiguousarray(picture[:, ::-1]), None if labels is None else np.ascontiguousarray(labels[:, ::-1])


def random_crop(picture: np.ndarray, labels: np.ndarray | None, side: int, rng) -> Pair:
    """A window of side x side at a uniform place; a smaller picture lies at a uniform place inside it."""
    height, width = picture.shape[:2]
    top, left = (int(rng.integers(min(0, side - length), max(0, side - length) + 1)) for length in (height, width))
    return window(picture, labels, side, side, top, left)


def window(
    picture: np.ndarray, labels: np.ndarray | None, height: int, width: int, top: int = 0, left: int = 0
) -> Pair:
    """The picture laid with its corner at (top, left) of a height x width window; negative values cut it off."""
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = MEAN_COLOUR
    y, x = max(top, 0), max(left, 0)
    source = picture[max(-top, 0) :, max(-left, 0) :][: height - y, : width - x]
    inside = np.s_[y : y + source.shape[0], x : x + source.shape[1]]
    canvas[inside] = source
    if labels is None:
        return canvas, None
    padded = np.full((height, width), VOID, np.uint8)
    padded[inside] = labels[max(-top, 0) :, max(-left, 0) :][: height - y, : width - x]
    return canvas, padded


def to_bytes(picture: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 -> (3, H, W) uint8, as a sample carries it; `study.samples.to_device` scales it to [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def to_tensor(picture: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32 in [0, 1]."""
    return to_bytes(picture).float() / 255


def same_size_batches(pictures: Iterable[np.ndarray], limit: int) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Batches (positions, (B, 3, H, W) in [0, 1]) of at most `limit` pictures of one size each; every picture once."""
    waiting: dict[tuple, list[tuple[int, torch.Tensor]]] = {}
    for position, picture in enumerate(pictures):
        group = waiting.setdefault(picture.shape, [])
        group.append((position, to_tensor(picture)))
        if len(group) == limit or sum(map(len, waiting.values())) >= 8 * limit:
            yield _stack(waiting.pop(max(waiting, key=lambda shape: len(waiting[shape]))))
    for group in waiting.values():
        yield _stack(group)


def _stack(group: list[tuple[int, torch.Tensor]]) -> tuple[list[int], torch.Tensor]:
    return [position for position, _ in group], torch.stack([picture for _, picture in group])
