"""Pictures of IRN's fields: displacements, class boundaries, paths of the mean shift and what a random walk has
spread.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from scipy.ndimage import map_coordinates

from weakseg.ops import affinity as ops
from weakseg.plots import panels
from weakseg.plots.canvas import SHEET, colour, pale
from weakseg.plots.panels import Panel


def displacement_colours(field: np.ndarray, longest: float | None = None) -> np.ndarray:
    """Displacement field (2, H, W) as (dy, dx) -> RGB (H, W, 3): hue is the direction, strength the length up to
    `longest`.
    """
    dy, dx = field
    length = np.hypot(dy, dx)
    longest = longest or max(float(np.quantile(length, 0.98)), 1e-9)
    hue = (np.arctan2(dy, dx) / (2 * np.pi)) % 1.0
    strength = np.clip(length / longest, 0, 1)
    return hsv_to_rgb(np.stack([hue, strength, np.ones_like(hue)], axis=-1))


def displacement(field: np.ndarray, arrows: int = 14, mask: np.ndarray | None = None) -> Panel:
    """Displacement field (2, H, W) in cells as hue and, readable without colour, as about `arrows` arrows a side.

    `mask` (H, W) bool limits the arrows to the places where the field means something.
    """

    def draw(axes: Axes) -> None:
        axes.imshow(displacement_colours(field), interpolation="nearest")
        step = max(1, max(field.shape[1:]) // arrows)
        ys, xs = np.mgrid[step // 2 : field.shape[1] : step, step // 2 : field.shape[2] : step]
        keep = np.ones(ys.shape, bool) if mask is None else mask[ys, xs]
        dy, dx = field[:, ys[keep], xs[keep]]
        axes.quiver(xs[keep], ys[keep], dx, dy, angles="xy", scale_units="xy", scale=1, width=0.009, color="0.1")
        axes.set(xlim=(-0.5, field.shape[2] - 0.5), ylim=(field.shape[1] - 0.5, -0.5))
        panels.bare(axes)

    return draw


def boundaries(boundary: np.ndarray) -> Panel:
    """Class boundary map (H, W) in [0, 1], ink on paper: black where two classes meet."""
    return panels.heat(boundary, cmap="gray_r")


def instance_map(index: np.ndarray, image: np.ndarray | None = None) -> Panel:
    """Class-agnostic instance map (h, w) of whole numbers, each its own colour; 0, of no instance, is left pale."""
    paper = np.full((*index.shape, 3), SHEET)
    for number in np.unique(index[index != 0]):
        paper[index == number] = colour(int(number) - 1)

    def draw(axes: Axes) -> None:
        extent = panels.extent_of((index if image is None else image).shape)
        if image is not None:
            axes.imshow(pale(image), extent=extent)
        axes.imshow(paper, extent=extent, interpolation="nearest", alpha=None if image is None else 0.6)
        panels.bare(axes)

    return draw


def paths(field: np.ndarray, tracks: np.ndarray) -> Panel:
    """Mean-shift tracks (steps, n, 2) of (y, x) positions over the field (2, H, W): a dot where a pixel starts, a
    star where it ends.
    """

    def draw(axes: Axes) -> None:
        axes.imshow(length := np.hypot(*field), cmap="gray_r", vmin=0, vmax=3 * length.max() + 1e-9)  # pale
        axes.plot(tracks[:, :, 1], tracks[:, :, 0], color=colour(5), lw=0.6)
        axes.plot(tracks[0, :, 1], tracks[0, :, 0], ".", color=colour(1), ms=2.5)
        axes.plot(tracks[-1, :, 1], tracks[-1, :, 0], "*", color=colour(3), ms=5)
        axes.set(xlim=(-0.5, field.shape[2] - 0.5), ylim=(field.shape[1] - 0.5, -0.5))
        panels.bare(axes)

    return draw


def affinity(values: np.ndarray, place: tuple[int, int], image: np.ndarray | None = None) -> Panel:
    """Affinity (H, W) in [0, 1] of every cell to the cell at `place` (y, x), which is marked by a cross."""

    def draw(axes: Axes) -> None:
        panels.heat(values)(axes)
        axes.plot(place[1], place[0], "+", color="white", ms=9, mew=2.4)
        axes.plot(place[1], place[0], "+", color=colour(3), ms=8, mew=1.4)

    return draw


def affinity_from(boundary: np.ndarray, place: tuple[int, int], radius: int) -> np.ndarray:
    """Affinity a_ij = 1 - max_{k on path ij} B(x_k) of the cell `place` (y, x) to all cells j nearer than `radius`.

    boundary: (H, W) in [0, 1] -> (H, W); 1 at the place itself, 0 beyond the radius.
    """
    result = np.zeros(boundary.shape)
    result[place] = 1.0
    for dy, dx in ops.offsets(radius):
        for sign in (1, -1):
            cells = np.array(place) + sign * np.array(ops.path(dy, dx))  # (n, 2)
            if (cells >= 0).all() and (cells < boundary.shape).all():
                result[place[0] + sign * dy, place[1] + sign * dx] = 1 - boundary[tuple(cells.T)].max()
    return result


def mean_shift_tracks(field: np.ndarray, steps: int, every: int) -> np.ndarray:
    """Way of every `every`-th cell when it follows the field (2, H, W) in cells: (steps + 1, n, 2) of (y, x).

    D_{u+1}(x) = D_u(x) + D(x + D_u(x)), sampled bilinearly and kept on the grid (IRN section 5).
    """
    H, W = field.shape[1:]
    limit = np.array([[H - 1.0], [W - 1.0]])
    start = np.mgrid[every // 2 : H : every, every // 2 : W : every].reshape(2, -1).astype(float)
    tracks = [start]
    for _ in range(steps):
        step = np.stack([map_coordinates(part, tracks[-1], order=1, mode="nearest") for part in field])
        tracks.append(np.clip(tracks[-1] + step, 0, limit))
    return np.stack(tracks).transpose(0, 2, 1)  # (steps + 1, n, 2)
