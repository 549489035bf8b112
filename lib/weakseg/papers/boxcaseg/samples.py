"""What the joint network sees in training: crops around boxes and salient pictures, in mixed batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from pydantic import Field, model_validator
from torch.utils.data import default_collate

from weakseg.data.weak import BoxView, SalientView
from weakseg.nets.backbones import IMAGENET_MEAN, IMAGENET_STD
from weakseg.papers.boxcaseg.boxes import Corners, PictureBoxes, crowded, jittered
from weakseg.study.params import Group

CROP_MEAN = (102.98, 115.95, 122.77)  # the released code: values for blue, green, red, subtracted from RGB


class SampleParams(Group):
    """side: of what the net sees in training. salient_side: of a salient picture before its random cut. test_side: of a
    box at inference. What the net sees is halved down to stride 32.

    faithful: two normalisations as in the released code (box crops minus wrongly ordered means, not divided; salient
    pictures stretched to their own maximum, ImageNet mean and deviation), and no mirrored crops but salient pictures
    upside down. Otherwise both kinds take ImageNet's mean and deviation and are mirrored left and right.
    """

    side: int = Field(288, ge=32, multiple_of=32)
    salient_side: int = Field(320, ge=32)
    test_side: int = Field(320, ge=32, multiple_of=32)
    faithful: bool = False

    @model_validator(mode="after")
    def _a_cut_fits(self) -> "SampleParams":
        if self.salient_side < self.side:
            raise ValueError(f"salient_side: {self.salient_side} is less than side {self.side}; a cut would not fit")
        return self


class SamplingParams(Group):
    """ratio: box crops to salient pictures in a batch (table 5; 11:5 in the released code for COCO); null shuffles the
    union of both, as the released code does for VOC.

    crowded: share of the boxes kept, epoch by epoch, whose IoU with another box of the picture exceeds 0.5 (0.25 in the
    released code for COCO, not in the paper); it acts with a ratio only.
    """

    ratio: tuple[int, int] | None = (11, 5)
    crowded: float = Field(1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _both_kinds(self) -> "SamplingParams":
        if self.ratio is not None and min(self.ratio) < 1:
            raise ValueError(f"ratio: {self.ratio} leaves one kind out; give two numbers of 1 or more, or null")
        return self

    def shares(self, batch_size: int) -> tuple[int, int]:
        """Box crops and salient pictures in a batch; ValueError when one would be missing."""
        crops, salient = self.ratio
        count = batch_size * crops // (crops + salient)
        if not 0 < count < batch_size:
            raise ValueError(f"sampling.ratio: a batch of {batch_size} cannot be {crops}:{salient}; enlarge the batch")
        return count, batch_size - count


def normalised(picture: np.ndarray, kind: Literal["crop", "salient"], faithful: bool) -> torch.Tensor:
    """RGB uint8 (H, W, 3) -> float32 (3, H, W) as the net takes it; see `SampleParams.faithful`."""
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    values = picture / 255
    if faithful and kind == "crop":
        mean, std = np.array(CROP_MEAN) / 255, 1.0
    elif faithful:
        values = values / max(values.max(), 1e-6)
    return torch.from_numpy(((values - mean) / std).astype(np.float32).transpose(2, 0, 1).copy())


def cut(picture: np.ndarray, box: Corners, side: int) -> np.ndarray:
    """The part of an array (H, W[, 3]) in a box, side x side: bilinear for colours, nearest for a mask of 0 and 1."""
    x0, y0, x1, y1 = box
    how = cv2.INTER_NEAREST if picture.ndim == 2 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(picture[y0:y1, x0:x1]), (side, side), interpolation=how)


@dataclass(frozen=True)
class Crop:
    """One box to learn from: number of its picture, corners, whether it overlaps another box much."""

    picture: int
    corners: Corners
    crowded: bool


def crops_of(boxes: Sequence[PictureBoxes]) -> list[Crop]:
    """All boxes of a split, one after another."""
    return [
        Crop(number, tuple(int(side) for side in corners), bool(near))
        for number, of_picture in enumerate(boxes)
        for corners, near in zip(of_picture.corners, crowded(of_picture.corners), strict=True)
    ]


class Union:
    """Box crops and salient pictures in one set, for plain shuffling; numbers from len(crops) on are salient."""

    def __init__(self, view: BoxView, crops: Sequence[Crop], salient: SalientView, how: SampleParams):
        self.view, self.crops, self.salient, self.how = view, list(crops), salient, how

    def __len__(self) -> int:
        return len(self.crops) + len(self.salient)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        own = index - len(self.crops)
        return self.of_box(index, draw) if own < 0 else self.of_salient(own, draw)

    def collate(self, samples: list[dict]) -> dict:
        """One batch; "salient" are the places (S,) of salient pictures: a choice by true and false makes a GPU wait."""
        batch = default_collate(samples)
        return {**batch, "salient": batch["salient"].nonzero()[:, 0]}

    def of_box(self, index: int, draw: int) -> dict:
        """A crop around a box, jittered, with the filled box as its mask."""
        rng, crop = np.random.default_rng(draw), self.crops[index]
        picture, (x0, y0, x1, y1) = self.view.image(crop.picture), crop.corners
        filled = np.zeros(picture.shape[:2], np.uint8)
        filled[y0:y1, x0:x1] = 1
        window = jittered(crop.corners, filled.shape, rng)
        colours, inside = (cut(array, window, self.how.side) for array in (picture, filled))
        if not self.how.faithful and rng.random() < 0.5:
            colours, inside = colours[:, ::-1], inside[:, ::-1]
        return self._sample(self.view.names[crop.picture], colours, inside, "crop")

    def of_salient(self, index: int, draw: int) -> dict:
        """A salient picture, resized to a square, flipped, cut at random, with its mask."""
        rng, long, side = np.random.default_rng(draw), self.how.salient_side, self.how.side
        picture, mask = self.salient.image(index), self.salient.mask(index).astype(np.uint8)
        whole = (0, 0, mask.shape[1], mask.shape[0])
        left, top = rng.integers(0, long - side + 1, 2)
        mirror, upside_down = rng.random(2) < 0.5
        columns, rows = -1 if mirror else 1, -1 if upside_down and self.how.faithful else 1
        place = np.s_[top : top + side, left : left + side]
        colours, inside = (cut(array, whole, long)[::rows, ::columns][place] for array in (picture, mask))
        return self._sample(self.salient.names[index], colours, inside, "salient")

    def _sample(self, name: str, colours: np.ndarray, inside: np.ndarray, kind: Literal["crop", "salient"]) -> dict:
        return {
            "name": name,
            "picture": normalised(colours, kind, self.how.faithful),
            "inside": torch.from_numpy(inside.astype(bool)),
            "salient": torch.tensor(kind == "salient"),
        }


class FixedRatio(Union):
    """Batches of a fixed mixture (section 4.2.3): every salient picture once an epoch, box crops drawn to each batch.

    Its samples are the salient pictures; `collate` adds `crops_each` / `salient_each` times as many crops, without
    repetition in a batch, crowded ones with a share of the chance of the others.
    """

    def __init__(self, *parts, sampling: SamplingParams, batch_size: int):
        super().__init__(*parts)
        self.crops_each, self.salient_each = sampling.shares(batch_size)
        chance = np.array([sampling.crowded if crop.crowded else 1.0 for crop in self.crops])
        self.chance = chance / chance.sum()

    def __len__(self) -> int:
        return len(self.salient)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        return {**self.of_salient(index, draw), "draw": draw}

    def collate(self, samples: list[dict]) -> dict:
        """Salient samples and the crops drawn to them, as one batch; a function of the samples' draws alone."""
        rng = np.random.default_rng([sample.pop("draw") for sample in samples])
        count = min(len(samples) * self.crops_each // self.salient_each, len(self.crops))
        chosen = rng.choice(len(self.crops), count, replace=False, p=self.chance)
        draws = rng.integers(2**63, size=count)
        boxed = [self.of_box(int(index), int(draw)) for index, draw in zip(chosen, draws, strict=True)]
        return super().collate([*samples, *boxed])
