"""Proposals without learning: masks from region grouping and from selective-search boxes, both in place of MCG.

Uijlings et al., "Selective search for object recognition", IJCV 2013; first segments by Felzenszwalb and Huttenlocher.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import scipy.sparse
from pydantic import Field

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.study.artifacts import load_maps, save_maps
from weakseg.study.machine import parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact

COLOUR_BINS = 25
SINGLE_SCALE = 200  # graph segmentation, where selective search has one strategy
SearchMode = Literal["single", "fast", "quality"]  # one strategy, then more colour spaces, scales and similarities


class ProposalParams(Group):
    """Mask proposals: several over-segmentations, each grouped into one region by greedy merging; all unions are kept.

    scales: of the initial graph segmentation, larger gives larger segments. sigma: of the blur before it. smallest: of
    a segment, in pixels. distinct: two masks with a larger IoU count as one. limit: masks kept per picture, largest
    unions first. min_area, max_area: shares of the picture. search: adds the cells that lie for the most part inside
    each of the search_limit largest selective-search boxes of this mode; null adds none.
    """

    scales: tuple[float, ...] = Field((100.0, 300.0), min_length=1)
    sigma: float = Field(0.8, gt=0)
    smallest: int = Field(20, ge=1)
    distinct: float = Field(0.95, gt=0, le=1)
    limit: int = Field(100, ge=1)
    min_area: float = Field(2e-5, ge=0, lt=1)
    max_area: float = Field(0.85, gt=0, le=1)
    search: SearchMode | None = None
    search_limit: int = Field(2000, ge=1)


def selective_search(image: np.ndarray, mode: SearchMode = "fast", limit: int = 2000) -> np.ndarray:
    """Selective-search boxes (n, 4) float32, x0, y0, x1, y1 half-open, each once, sorted by area then corner.

    OpenCV returns the same boxes in an order that varies from run to run, so they are sorted, largest first.
    """
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
    if mode == "single":
        search.switchToSingleStrategy(SINGLE_SCALE, 0.8)
    else:
        search.switchToSelectiveSearchFast() if mode == "fast" else search.switchToSelectiveSearchQuality()
    found = np.unique(np.asarray(search.process(), dtype=np.int64).reshape(-1, 4), axis=0)  # x, y, width, height
    found = found[np.argsort(-found[:, 2] * found[:, 3], kind="stable")][:limit]
    return np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1).astype(np.float32)


def region_masks(image: np.ndarray, proposals: ProposalParams) -> np.ndarray:
    """Mask proposals bool (n, H, W) of a picture uint8 (H, W, 3), larger unions of regions first, no two alike."""
    members, cells = regions(image, proposals)
    return members[:, cells]  # (n, H, W)


def regions(image: np.ndarray, proposals: ProposalParams) -> tuple[np.ndarray, np.ndarray]:
    """The same masks in short form: members bool (n, Q), which cells each holds, and cells (H, W), labels 0..Q-1."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    layers = [segment(image, scale, proposals.sigma, proposals.smallest) for scale in proposals.scales]
    cells, inside = common_cells(layers)
    groups = [group_regions(segments, lab)[::-1, of_cell] for segments, of_cell in zip(layers, inside, strict=True)]
    if proposals.search is not None:
        groups.append(boxed_cells(selective_search(image, proposals.search, proposals.search_limit), cells))
    rank = np.concatenate([np.arange(len(group)) for group in groups])  # the groups take turns, larger masks first
    members = np.concatenate(groups)[np.argsort(rank, kind="stable")]
    return members[_worth_keeping(members, np.bincount(cells.ravel()), proposals)], cells


def boxed_cells(boxes: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """bool (n, Q): which cells have more than half of their pixels inside each box.

    boxes: (n, 4), x0, y0, x1, y1 half-open. cells: (H, W) labels 0..Q-1, each present.
    """
    H, W = cells.shape
    x0, y0, x1, y1 = boxes.T
    rows, columns = np.arange(H)[:, None], np.arange(W)[:, None]
    inside = ((rows >= y0) & (rows < y1))[:, None] & ((columns >= x0) & (columns < x1))[None]  # (H, W, n)
    pixels = scipy.sparse.csr_array((np.ones(H * W, np.float32), (cells.ravel(), np.arange(H * W))))  # (Q, H * W)
    share = pixels @ inside.reshape(H * W, len(boxes)).astype(np.float32) / pixels.sum(axis=1)[:, None]
    return share.T > 0.5


def common_cells(layers: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The pieces that all segmentations have in common, on which a mask is a short row of bits.

    Args:
        layers: L label maps (H, W).

    Returns:
        cells: (H, W) labels 0..Q-1. inside: L arrays (Q,), the segment of each layer that holds a cell.
    """
    cells, inside = layers[0], [np.arange(int(layers[0].max()) + 1)]
    for segments in layers[1:]:
        R = int(segments.max()) + 1
        codes = cells * R + segments
        present = np.flatnonzero(np.bincount(codes.ravel()))
        number = np.zeros(present[-1] + 1, dtype=np.int64)
        number[present] = np.arange(len(present))
        cells = number[codes]
        inside = [each[present // R] for each in inside] + [present % R]
    return cells, inside


def _worth_keeping(members: np.ndarray, cell_area: np.ndarray, proposals: ProposalParams) -> np.ndarray:
    """Places of the unions of cells (n, Q) that are of a fair size and unlike every earlier one, at most `limit`."""
    weighted = members * cell_area.astype(np.float64)
    area = weighted.sum(axis=1)
    share = area / cell_area.sum()
    fair = np.flatnonzero((share > proposals.min_area) & (share < proposals.max_area))
    both = weighted[fair] @ members[fair].T.astype(np.float64)
    alike = both / (area[fair][:, None] + area[fair][None] - both) > proposals.distinct
    kept = np.zeros(len(fair), dtype=bool)
    for place in range(len(fair)):
        kept[place] = not (alike[place, :place] & kept[:place]).any()
    return fair[kept][: proposals.limit]


def segment(image: np.ndarray, scale: float, sigma: float, smallest: int) -> np.ndarray:
    """Graph segmentation (Felzenszwalb and Huttenlocher 2004): labels int (H, W), 0..R-1."""
    graph = cv2.ximgproc.segmentation.createGraphSegmentation(sigma, scale, smallest)
    return graph.processImage(np.ascontiguousarray(image)).astype(np.int64)


def group_regions(segments: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Merges the two most similar neighbours until one region is left.

    Similarity of neighbours a, b: colour + size + fill of selective search (its section 3.2, without texture),
        s(a, b) = sum_k min(c_a^k, c_b^k)  +  1 - (|a| + |b|) / |I|  +  1 - (|box(a, b)| - |a| - |b|) / |I|
    with c the colour histogram (25 bins a channel, sum 1) and |I| the area of the picture; the sizes cancel.

    Args:
        segments: (H, W) labels 0..R-1. colours: (H, W, 3) uint8.

    Returns:
        (2R - 1, R) bool, the segments that make up every region, in order of creation: segments, then unions.
    """
    R = int(segments.max()) + 1
    regions = _Regions(segments, colours)
    members = np.eye(2 * R - 1, R, dtype=bool)
    holds = np.arange(R)  # the region that slot i holds now
    for created in range(R, 2 * R - 1):
        a, b = np.unravel_index(regions.similarity.argmax(), (R, R))
        members[created] = members[holds[a]] | members[holds[b]]
        holds[a] = created
        regions.merge(int(a), int(b))
    return members


class _Regions:
    """Size, histogram, box and neighbours of R regions; a merged-away slot keeps similarity -inf."""

    def __init__(self, segments: np.ndarray, colours: np.ndarray):
        R = int(segments.max()) + 1
        self.area = segments.size
        self.size = np.bincount(segments.ravel(), minlength=R).astype(np.float64)
        self.histogram = _histograms(segments, colours, R)
        self.low, self.high = _boxes(segments, R)
        self.near = _neighbours(segments, R)
        self.similarity = np.full((R, R), -np.inf)
        for a in range(R):
            self._compare(a)

    def _compare(self, a: int) -> None:
        """Fills row and column a of the similarity matrix."""
        others = np.flatnonzero(self.near[a])
        colour = np.minimum(self.histogram[a], self.histogram[others]).sum(axis=1)
        sides = np.maximum(self.high[a], self.high[others]) - np.minimum(self.low[a], self.low[others])
        self.similarity[a] = self.similarity[:, a] = -np.inf
        self.similarity[a, others] = self.similarity[others, a] = colour + 2 - sides.prod(axis=1) / self.area

    def merge(self, a: int, b: int) -> None:
        """Region a takes up region b."""
        total = self.size[a] + self.size[b]
        self.histogram[a] = (self.size[a] * self.histogram[a] + self.size[b] * self.histogram[b]) / total
        self.size[a] = total
        self.low[a], self.high[a] = np.minimum(self.low[a], self.low[b]), np.maximum(self.high[a], self.high[b])
        self.near[a] |= self.near[b]
        self.near[a, [a, b]] = False
        self.near[b] = self.near[:, b] = False
        self.near[:, a] = self.near[a]
        self.similarity[b] = self.similarity[:, b] = -np.inf
        self._compare(a)


def _histograms(segments: np.ndarray, colours: np.ndarray, R: int) -> np.ndarray:
    """(R, 3 * COLOUR_BINS) share of each region's colours, sum 1."""
    bins = colours.reshape(-1, 3).astype(np.int64) * COLOUR_BINS // 256 + np.arange(3) * COLOUR_BINS
    codes = segments.reshape(-1, 1) * 3 * COLOUR_BINS + bins
    counts = np.bincount(codes.ravel(), minlength=R * 3 * COLOUR_BINS).reshape(R, -1)
    return counts / counts.sum(axis=1, keepdims=True)


def _boxes(segments: np.ndarray, R: int) -> tuple[np.ndarray, np.ndarray]:
    """Half-open corners (R, 2) and (R, 2), row and column, of every label."""
    low, high = np.full((R, 2), max(segments.shape)), np.zeros((R, 2), dtype=np.int64)
    for axis, place in enumerate(np.indices(segments.shape)):
        np.minimum.at(low[:, axis], segments.ravel(), place.ravel())
        np.maximum.at(high[:, axis], segments.ravel(), place.ravel() + 1)
    return low, high


def _neighbours(segments: np.ndarray, R: int) -> np.ndarray:
    """(R, R) bool: two labels meet along a pixel edge."""
    near = np.zeros((R, R), dtype=bool)
    for left, right in ((segments[:, :-1], segments[:, 1:]), (segments[:-1], segments[1:])):
        near[left, right] = near[right, left] = True
    np.fill_diagonal(near, False)
    return near


def propose(out: Path, *, pictures: Artifact, data: DataParams, split: str, proposals: ProposalParams) -> None:
    """Stage: writes regions/<name>.npz, the mask proposals of every picture of the split. Looks at photos only."""
    view = TagView(open_set(pictures, data, split))
    items = [(name, view.image(index)) for index, name in enumerate(view.names)]
    parallel(partial(_write_regions, out / "regions", proposals), items, title="proposals")


def _write_regions(folder: Path, proposals: ProposalParams, item: tuple[str, np.ndarray]) -> None:
    name, image = item
    members, cells = regions(image, proposals)
    save_maps(folder, name, members=members, cells=cells.astype(np.int32))


def load_proposals(artifact: Artifact, name: str) -> np.ndarray:
    """Mask proposals bool (n, H, W) of one picture from the stage `propose`."""
    stored = load_maps(artifact / "regions", name)
    return stored["members"][:, stored["cells"]]
