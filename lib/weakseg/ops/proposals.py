"""Proposals without learning: selective-search boxes, and masks from hierarchical region grouping (in place of MCG).

Uijlings et al., "Selective search for object recognition", IJCV 2013; initial segments by Felzenszwalb and Huttenlocher.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.ops.overlap import mask_iou
from weakseg.study.artifacts import load_maps, save_maps
from weakseg.study.machine import parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact

COLOUR_BINS = 25


class ProposalParams(Group):
    """Mask proposals: several over-segmentations, each grouped into one region by greedy merging; all unions are kept.

    scales: of the initial graph segmentation, larger gives larger segments. sigma: of the blur before it. smallest: of a
    segment, in pixels. distinct: two masks with a larger IoU count as one. limit: masks kept per picture, largest unions
    first. min_area, max_area: shares of the picture.
    """

    scales: tuple[float, ...] = Field((100.0, 300.0), min_length=1)
    sigma: float = Field(0.8, gt=0)
    smallest: int = Field(20, ge=1)
    distinct: float = Field(0.95, gt=0, le=1)
    limit: int = Field(100, ge=1)
    min_area: float = Field(2e-5, ge=0, lt=1)
    max_area: float = Field(0.85, gt=0, le=1)


def selective_search(image: np.ndarray, mode: Literal["fast", "quality"] = "fast", limit: int = 2000) -> np.ndarray:
    """Selective-search boxes (n, 4) float32, x0, y0, x1, y1 half-open, each once, sorted by area then corner.

    OpenCV returns the same boxes in an order that varies from run to run, so they are sorted, largest first.
    """
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
    search.switchToSelectiveSearchFast() if mode == "fast" else search.switchToSelectiveSearchQuality()
    found = np.unique(np.asarray(search.process(), dtype=np.int64).reshape(-1, 4), axis=0)  # x, y, width, height
    found = found[np.argsort(-found[:, 2] * found[:, 3], kind="stable")][:limit]
    return np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1).astype(np.float32)


def region_masks(image: np.ndarray, proposals: ProposalParams) -> np.ndarray:
    """Mask proposals bool (n, H, W) of a picture uint8 (H, W, 3), larger unions of regions first, no two alike."""
    H, W, _ = image.shape
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    unions, height = [], []
    for scale in proposals.scales:
        segments = segment(image, scale, proposals.sigma, proposals.smallest)
        members = group_regions(segments, lab)
        unions.append(members[:, segments])  # (2R - 1, H, W)
        height.append(np.arange(len(members))[::-1])  # 0 for the whole picture
    masks = np.concatenate(unions)
    masks = masks[np.argsort(np.concatenate(height), kind="stable")]
    share = masks.mean(axis=(1, 2))
    masks = masks[(share > proposals.min_area) & (share < proposals.max_area)]
    return _distinct(masks, proposals.distinct)[: proposals.limit]


def segment(image: np.ndarray, scale: float, sigma: float, smallest: int) -> np.ndarray:
    """Graph segmentation (Felzenszwalb and Huttenlocher 2004): labels int (H, W), 0..R-1."""
    graph = cv2.ximgproc.segmentation.createGraphSegmentation(sigma, scale, smallest)
    return np.unique(graph.processImage(np.ascontiguousarray(image)), return_inverse=True)[1].reshape(image.shape[:2])


def group_regions(segments: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Merges the two most similar neighbours until one region is left.

    Similarity of neighbours a, b as in selective search, without texture:
        s(a, b) = sum_k min(c_a^k, c_b^k)  +  1 - (|a| + |b|) / |I|  +  1 - (|box(a, b)| - |a| - |b|) / |I|
    with c the colour histogram (25 bins a channel, sum 1), |I| the area of the picture.

    Args:
        segments: (H, W) labels 0..R-1. colours: (H, W, 3) uint8.

    Returns:
        (2R - 1, R) bool, the segments that make up every region, in order of creation: segments, then unions.
    """
    R, area = int(segments.max()) + 1, segments.size
    regions = _Regions(segments, colours)
    members = np.eye(2 * R - 1, R, dtype=bool)
    holds = np.arange(R)  # the region that slot i holds now
    for created in range(R, 2 * R - 1):
        a, b = np.unravel_index(regions.similarity.argmax(), (R, R))
        members[created] = members[holds[a]] | members[holds[b]]
        holds[a] = created
        regions.merge(a, b, area)
    return members


class _Regions:
    """Histogram, size, box and neighbours of up to R regions; a merged-away slot keeps similarity -inf."""

    def __init__(self, segments: np.ndarray, colours: np.ndarray):
        R = int(segments.max()) + 1
        self.size = np.bincount(segments.ravel(), minlength=R).astype(float)
        self.histogram = _histograms(segments, colours, R) / self.size[:, None] / 3
        self.low, self.high = _boxes(segments, R)
        self.near = _neighbours(segments, R)
        self.similarity = np.full((R, R), -np.inf)
        for a in range(R):
            self._compare(a, segments.size)

    def _compare(self, a: int, area: int) -> None:
        """Fills row and column a of the similarity matrix."""
        others = np.flatnonzero(self.near[a])
        colour = np.minimum(self.histogram[a], self.histogram[others]).sum(axis=1)
        size = self.size[a] + self.size[others]
        sides = np.maximum(self.high[a], self.high[others]) - np.minimum(self.low[a], self.low[others])
        self.similarity[a] = self.similarity[:, a] = -np.inf
        self.similarity[a, others] = self.similarity[others, a] = colour + 2 - sides.prod(axis=1) / area
        assert size.min(initial=area) >= 0

    def merge(self, a: int, b: int, area: int) -> None:
        """Region a takes up region b."""
        total = self.size[a] + self.size[b]
        self.histogram[a] = (self.size[a] * self.histogram[a] + self.size[b] * self.histogram[b]) / total
        self.size[a] = total
        self.low[a], self.high[a] = np.minimum(self.low[a], self.low[b]), np.maximum(self.high[a], self.high[b])
        self.near[a] |= self.near[b]
        self.near[:, a] |= self.near[:, b]
        self.near[b] = self.near[:, b] = False
        self.near[a, a] = False
        self.similarity[b] = self.similarity[:, b] = -np.inf
        self._compare(a, area)
