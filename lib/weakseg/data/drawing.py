"""Pieces of a drawn picture: smooth backgrounds, animal bodies, patterned heads. All coordinates are pixel centres."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

ANGLES = np.linspace(-np.pi, np.pi, 721)
Pattern = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _wave(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * x)


def _zigzag(x: np.ndarray) -> np.ndarray:
    return np.abs((2 * x) % 2 - 1)


# Every pattern maps head coordinates (u forwards, v downwards, the rim at radius 1) to a signed field; its sign is
# the tone.
CLASS_PATTERNS: dict[str, Pattern] = {
    "striper": lambda u, v: _wave(1.5 * u),
    "ringlet": lambda u, v: _wave(1.5 * np.hypot(u, v) + 0.25),
    "pinwheel": lambda u, v: np.sin(4 * np.arctan2(v, u)) * np.minimum(1, 2 * np.hypot(u, v)),
    "checkling": lambda u, v: 1.4 * _wave(1.1 * u) * _wave(1.1 * v),
    "spotling": lambda u, v: _wave(1.4 * u + 0.25) + _wave(1.4 * v + 0.25) - 0.8,
    "crossling": lambda u, v: 5 * (0.24 - np.minimum(np.abs(u), np.abs(v))),
    "chevron": lambda u, v: _wave(1.5 * (u + 0.6 * np.abs(v))),
    "halfmoon": lambda u, v: 4 * (np.hypot(u - 0.55, v) - 0.75),
}
SALIENT_PATTERNS: dict[str, Pattern] = {
    "spiral": lambda u, v: np.sin(2 * np.pi * 1.4 * np.hypot(u, v) + np.arctan2(v, u)),
    "halves": lambda u, v: 5 * v,
    "ripple": lambda u, v: _wave(1.4 * u + 0.25 * np.sin(6 * v)),
    "triangles": lambda u, v: 3 * (_zigzag(1.2 * u) - (1.2 * v) % 1),
}


@dataclass(frozen=True)
class Body:
    """One body. Lengths in pixels, angles in radians; label -1: belongs to no class (and has no head)."""

    label: int
    x: float
    y: float
    half_length: float
    aspect: float
    angle: float
    facing: int  # 1 looks right, -1 looks left
    lobes: np.ndarray  # (K, 2) amplitude and phase of contour waves 2..K+1, as shares of the radius
    bumps: np.ndarray  # (M, 3) angle, height (share of half_length), width of feet, ears and tail
    colour: np.ndarray  # (3,) RGB in [0, 1]
    head_shift: float  # along the body, share of half_length
    head_radius: float  # share of half_length
    contrast: float
    polarity: int
    shape: str = "animal"  # or "polygon": the things of the salient set


def local_grid(body: Body, height: int, width: int) -> tuple[slice, slice, np.ndarray, np.ndarray]:
    """Window of the picture that the body can touch, and coordinates (forwards, downwards) in half-lengths, each (h,
    w).
    """
    reach = 1.5 * body.half_length + 2
    top, bottom = np.clip([int(body.y - reach), int(body.y + reach) + 2], 0, height)
    left, right = np.clip([int(body.x - reach), int(body.x + reach) + 2], 0, width)
    dy = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - body.y))[:, None]
    dx = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - body.x))[None]
    c, s = np.float32(np.cos(body.angle)), np.float32(np.sin(body.angle))
    scale = np.float32(1 / body.half_length)
    return slice(top, bottom), slice(left, right), body.facing * (c * dx + s * dy) * scale, (c * dy - s * dx) * scale


def radius_at(body: Body, angle: np.ndarray) -> np.ndarray:
    """Contour radius in half-lengths at angles measured from the front, clockwise on screen."""
    b = body.aspect
    radius = b / np.sqrt((b * np.cos(angle)) ** 2 + np.sin(angle) ** 2)
    if body.shape == "polygon":
        corners = 3 + round(body.lobes[0, 1]) % 4
        turn = np.pi / corners
        radius = radius * np.cos(turn) ** 0.5 / np.cos((angle + body.lobes[1, 1]) % (2 * turn) - turn)
    wave = sum(a * np.cos((k + 2) * angle + phase) for k, (a, phase) in enumerate(body.lobes))
    radius = radius * (1 + wave)
    for at, height, spread in body.bumps:
        away = (angle - at + np.pi) % (2 * np.pi) - np.pi
        radius = radius + height * np.exp(-np.square(np.square(away / spread)))
    return radius


def contour(body: Body) -> np.ndarray:
    """Contour radius in half-lengths, float32 (721,), at every half degree from -180 to 180."""
    return radius_at(body, ANGLES).astype(np.float32)


def contour_area(body: Body) -> float:
    """Area inside the contour in pixels, also of what lies outside the picture: half the integral of r^2 over the
    angle.
    """
    return float(0.5 * body.half_length**2 * np.sum(contour(body)[:-1] ** 2) * (2 * np.pi / 720))


def contour_field(body: Body, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance to the contour along the ray, in pixels, negative inside; the head belongs to the animal."""
    at = np.clip((np.arctan2(v, u) + np.float32(np.pi)) * np.float32(360 / np.pi), 0, 720)
    left = at.astype(np.int32)
    table, share = contour(body), at - left
    outside = np.hypot(u, v) - (table[left] * (1 - share) + table[np.minimum(left + 1, 720)] * share)
    if body.label >= 0 and body.shape == "animal":
        outside = np.minimum(outside, np.hypot(u - body.head_shift, v) - body.head_radius)
    return outside * np.float32(body.half_length)


def cover(distance: np.ndarray) -> np.ndarray:
    """Share of a pixel that is inside: a ramp one pixel wide around the contour, so contours look natural and masks
    stay exact.
    """
    return np.clip(0.5 - distance, 0, 1)


def paint(canvas: np.ndarray, body: Body, pattern: Pattern | None, body_pattern: float, shading: float) -> None:
    """Paint a body on the canvas, float32 (H, W, 3), in place: body colour, faint class pattern, head, eyes."""
    H, W, _ = canvas.shape
    rows, columns, u, v = local_grid(body, H, W)
    alpha = cover(contour_field(body, u, v))[..., None]
    tone = (1 - shading * v)[..., None] * body.colour.astype(np.float32)
    if pattern is not None:
        tone = tone + body_pattern * np.clip(3 * pattern(2.2 * u, 2.2 * v), -1, 1)[..., None]
        tone = _head(tone, body, pattern, u, v)
    canvas[rows, columns] += alpha * (tone - canvas[rows, columns])


def _head(tone: np.ndarray, body: Body, pattern: Pattern, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The two-tone head, the only place where the class shows, and two eyes that all classes share."""
    radius, scale = body.head_radius, np.float32(body.half_length)
    p, q = (u - body.head_shift) / radius, v / radius
    sign = body.polarity * np.clip(2.5 * pattern(p, q), -1, 1)[..., None]
    colour = body.colour.astype(np.float32)
    dark, light = colour * (1 - 0.85 * body.contrast), colour + (1 - colour) * 0.85 * body.contrast
    head = cover((np.hypot(p, q) - 1) * radius * scale)[..., None]
    tone = tone + head * (
        np.where(sign > 0, light, dark) * np.abs(sign) + (1 - np.abs(sign)) * (dark + light) / 2 - tone
    )
    for side in (-0.34, 0.34):
        away = np.hypot(p - 0.05 - side, q + 0.42) * radius * scale
        for size, ink in ((0.24, 0.97), (0.13, 0.05)):
            tone = tone + cover(away - size * radius * scale)[..., None] * (np.float32(ink) - tone)
    return tone


def background(rng: np.random.Generator, height: int, width: int, base: np.ndarray, params) -> np.ndarray:
    """Smooth low-frequency colour noise around the base colour, with up to params.strokes soft strokes.

    float32 (H, W, 3).
    """
    cells = 4
    noise = rng.normal(0, params.background_noise, (cells, cells, 3)).astype(np.float32)
    canvas = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) + base.astype(np.float32)
    for _ in range(rng.integers(0, params.strokes + 1)):
        _stroke(rng, canvas, base)
    return canvas


def _stroke(rng: np.random.Generator, canvas: np.ndarray, base: np.ndarray) -> None:
    """One curved soft line, a stalk or a branch, whose colour is not far from the background's."""
    H, W, _ = canvas.shape
    start, bend, stop = rng.uniform(-0.1, 1.1, (3, 2)) * (W, H)
    t = np.linspace(0, 1, 24)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * stop
    layer = np.zeros((H, W), np.float32)
    thickness = max(1, round(rng.uniform(0.01, 0.03) * min(H, W)))
    cv2.polylines(layer, [np.round(curve * 16).astype(np.int32)], False, 1.0, thickness, cv2.LINE_AA, 4)
    ink = np.clip(base + rng.uniform(-0.25, 0.25, 3), 0, 1).astype(np.float32)
    canvas += cv2.GaussianBlur(layer, (0, 0), 0.6)[..., None] * (ink - canvas)


def water(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """The context that keeps company with one class: rippled water over the lower part of the picture, in place."""
    H, W, _ = canvas.shape
    shore = rng.uniform(0.35, 0.6) * H
    y = np.arange(H, dtype=np.float32)[:, None] + 0.5
    x = np.arange(W, dtype=np.float32)[None] + 0.5
    side = min(H, W)
    wobble = np.sin(2 * np.pi * (x / side * rng.uniform(1.5, 3) + rng.uniform()))
    inside = np.clip(y - shore - 0.02 * side * wobble, 0, 1)[..., None]
    period = rng.uniform(0.05, 0.08) * side
    ripple = np.sin(2 * np.pi * (y / period + 0.25 * np.sin(2 * np.pi * x / (3 * period))))[..., None]
    colour = np.float32([0.25, 0.5, 0.65]) + rng.uniform(-0.08, 0.08, 3).astype(np.float32)
    canvas += 0.75 * inside * (colour + np.float32(0.06) * ripple - canvas)
