"""Where the bodies of one picture stand, which of them is seen at each pixel, and the finished picture with its
truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from weakseg.data.drawing import Body, contour_area, contour_field, local_grid, paint
from weakseg.data.files import VOID

if TYPE_CHECKING:
    from weakseg.data.menagerie import MenagerieParams


@dataclass(frozen=True)
class Picture:
    """A drawn picture with its exact truth."""

    image: np.ndarray  # uint8 (H, W, 3)
    instance_map: np.ndarray  # uint8 (H, W): 0 no animal, 1..n in painting order
    labels: np.ndarray  # int (n,) 0-based class
    visible: np.ndarray  # float (n,) share of each whole body that is seen: not hidden, not outside the picture
    hidden: np.ndarray  # float (n,) share of each body's area in the picture that others cover
    bodies: tuple[Body, ...]

    @property
    def semantic(self) -> np.ndarray:
        """uint8 (H, W): 0 background, 1..C; no void."""
        return np.concatenate([[0], self.labels + 1]).astype(np.uint8)[self.instance_map]

    @property
    def boxes(self) -> np.ndarray:
        """int (n, 4): x0, y0, x1, y1 of what is visible, half-open."""
        return np.array([box_of(self.instance_map == k + 1) for k in range(len(self.labels))], int).reshape(-1, 4)


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Tight half-open box x0, y0, x1, y1 of a bool mask (H, W); ValueError when the mask is empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(rows):
        raise ValueError("box of an empty mask: leave empty instances out")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def void_border(instance_map: np.ndarray, share: float) -> np.ndarray:
    """Pixels on a contour between two values, bool (H, W); the border is max(1, share * shorter side) pixels wide in
    all.
    """
    width = max(1, round(share * min(instance_map.shape)))
    kernel = np.ones((width + 1, width + 1), np.uint8)
    return cv2.dilate(instance_map, kernel) != cv2.erode(instance_map, kernel)


def with_void(labels: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Label map with the border set to 255."""
    return np.where(border, np.uint8(VOID), labels)


class Scene:
    """Bodies placed so far and who is seen at each pixel."""

    def __init__(self, height: int, width: int, base: np.ndarray):
        self.height, self.width, self.base = height, width, base
        self.bodies: list[Body] = []
        self.areas: list[int] = []  # pixels of each body in the picture, hidden ones included
        self.whole: list[float] = []  # pixels of each body if nothing cut it
        self.seen = np.zeros((height, width), np.uint8)  # 1-based number of the foremost body

    def place(self, rng: np.random.Generator, params: MenagerieParams, label: int, touching: bool, shape: str) -> None:
        """Add one body in front of the others; after 12 places that hide another body too much or fail to touch, it
        is left out.

        No picture is without an animal: the first one stands in the middle if it must.
        """
        body = _new_body(rng, params, label, shape, self)
        must = label >= 0 and all(b.label < 0 for b in self.bodies)
        for left in reversed(range(12)):
            forced = must and left == 0
            spot = {"x": self.width / 2, "y": self.height / 2} if forced else self._spot(rng, body, touching)
            body = replace(body, **spot)
            mask = _mask_of(body, self.height, self.width)
            if forced or self._fits(mask, params.min_visible, touching, body):
                self.seen[mask] = len(self.bodies) + 1
                self.bodies.append(body)
                self.areas.append(int(mask.sum()))
                self.whole.append(contour_area(body))
                return

    def _spot(self, rng: np.random.Generator, body: Body, touching: bool) -> dict[str, float]:
        """A centre: anywhere, or beside an earlier animal at the distance where the two contours meet."""
        earlier = [b for b in self.bodies if b.label >= 0]
        if not (touching and earlier):
            return {"x": rng.uniform(0.12, 0.88) * self.width, "y": rng.uniform(0.18, 0.85) * self.height}
        other = earlier[rng.integers(len(earlier))]
        way = rng.uniform(-0.6, 0.6) + math.pi * rng.integers(2)
        reach = 0.95 * (other.half_length + body.half_length) * rng.uniform(0.75, 0.98)
        return {"x": other.x + reach * math.cos(way), "y": other.y + 0.8 * reach * math.sin(way)}

    def _fits(self, mask: np.ndarray, min_visible: float, touching: bool, body: Body) -> bool:
        area = int(mask.sum())
        if area < 0.6 * contour_area(body):  # too much of it outside the picture
            return False
        left = np.bincount(self.seen[~mask], minlength=len(self.bodies) + 1)[1:]
        if np.any(left < min_visible * np.array(self.areas)):
            return False
        if not touching:
            return True
        near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        met = np.unique(self.seen[near])
        return any(self.bodies[k - 1].label == body.label for k in met if k)

    def finish(self, rng: np.random.Generator, canvas: np.ndarray, params: MenagerieParams, patterns: dict) -> Picture:
        """Paint all bodies back to front, add pixel noise, number the animals 1..n."""
        fields = list(patterns.values())
        for body in self.bodies:
            paint(canvas, body, fields[body.label] if body.label >= 0 else None, params.body_pattern, params.shading)
        canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(params.pixel_noise)
        animals = [k for k, body in enumerate(self.bodies) if body.label >= 0]
        number = np.zeros(len(self.bodies) + 1, np.uint8)
        number[[k + 1 for k in animals]] = np.arange(1, len(animals) + 1)
        seen = np.bincount(self.seen.ravel(), minlength=len(self.bodies) + 1)[1:]
        return Picture(
            image=np.round(np.clip(canvas, 0, 1) * 255).astype(np.uint8),
            instance_map=number[self.seen],
            labels=np.array([self.bodies[k].label for k in animals], int),
            visible=np.array([min(1.0, seen[k] / self.whole[k]) for k in animals]),
            hidden=np.array([1 - seen[k] / self.areas[k] for k in animals]),
            bodies=tuple(self.bodies),
        )


def _mask_of(body: Body, height: int, width: int) -> np.ndarray:
    """bool (H, W): pixel centres inside the contour."""
    rows, columns, u, v = local_grid(body, height, width)
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = contour_field(body, u, v) < 0
    return mask


def _new_body(rng: np.random.Generator, params: MenagerieParams, label: int, shape: str, scene: Scene) -> Body:
    """A body of random form; its place is chosen later."""
    low, high = params.half_length
    waves = rng.dirichlet(np.ones(3)) * params.lobes
    side = min(scene.height, scene.width)
    return Body(
        label=label,
        x=0.0,
        y=0.0,
        shape=shape,
        half_length=side * math.exp(rng.uniform(math.log(low), math.log(high))),
        aspect=rng.uniform(*params.aspect),
        angle=rng.uniform(-params.tilt, params.tilt),
        facing=int(rng.choice([-1, 1])),
        lobes=np.stack([waves, rng.uniform(0, 2 * math.pi, 3)], 1),
        bumps=_bumps(rng, params.bumps) if shape == "animal" else np.zeros((0, 3)),
        colour=_colour(rng, params.colour_distance, [scene.base, *(b.colour for b in scene.bodies)]),
        head_shift=params.head_shift * rng.uniform(0.5, 1.2),
        head_radius=params.head_radius,
        contrast=rng.uniform(*params.contrast),
        polarity=int(rng.choice([-1, 1])),
    )


def _bumps(rng: np.random.Generator, height: float) -> np.ndarray:
    """Four feet, a tail and two ears, (7, 3): angle from the front (downwards positive), height, width."""
    at = np.array([0.9, 1.25, 1.9, 2.25, math.pi, -0.75, -1.15]) + rng.uniform(-0.08, 0.08, 7)
    tall = height * np.array([1.2, 1.0, 1.0, 1.2, 1.3, 0.9, 0.9]) * rng.uniform(0.8, 1.2, 7)
    wide = np.array([0.11, 0.11, 0.11, 0.11, 0.09, 0.12, 0.12])
    return np.stack([at, tall, wide], 1)


def _colour(rng: np.random.Generator, distance: float, others: list[np.ndarray]) -> np.ndarray:
    """RGB in [0.1, 0.9] at the wanted distance from the others; the farthest of 30 candidates when none reaches it."""
    candidates = rng.uniform(0.1, 0.9, (30, 3))
    gap = np.linalg.norm(candidates[:, None] - np.array(others)[None], axis=2).min(1)
    good = np.flatnonzero(gap > distance)
    return candidates[good[0] if len(good) else gap.argmax()]
