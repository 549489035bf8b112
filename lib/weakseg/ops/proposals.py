"""Proposals without learning: selective-search boxes, and masks from hierarchical region grouping (in place of MCG)."""

from __future__ import annotations

from pydantic import Field

from weakseg.study.params import Group


class ProposalParams(Group):
    """Mask proposals: several over-segmentations, each grouped into one region by greedy merging; all unions are kept.

    scales: of the initial graph segmentation (Felzenszwalb), larger gives larger segments. smallest: of a segment, in
    pixels. sigma: of the blur before it. limit: at most so many masks per picture. min_area, max_area: shares of it.
    """

    scales: tuple[float, ...] = Field((100.0, 300.0), min_length=1)
    sigma: float = Field(0.8, ge=0)
    smallest: int = Field(20, ge=1)
    segments: int = Field(60, ge=2)
    limit: int = Field(100, ge=1)
    min_area: float = Field(2e-5, ge=0, lt=1)
    max_area: float = Field(0.85, gt=0, le=1)
