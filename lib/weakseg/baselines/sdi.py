"""SDI (Khoreva et al., CVPR 2017, "Simple does it"): boxes become masks where GrabCut and a region proposal agree."""

from __future__ import annotations

from pydantic import Field

from weakseg.ops.proposals import ProposalParams
from weakseg.study.params import Group


class SdiParams(Group):
    """iterations: of GrabCut. margin: share of the box that GrabCut sees around it as sure background.

    overlap: smallest IoU of a proposal's box with the given box; below it no proposal votes and GrabCut decides alone.
    smallest: a mask that covers less of its box than this is replaced (first by GrabCut's, then by the box).
    """

    iterations: int = Field(5, ge=1)
    margin: float = Field(0.5, gt=0)
    overlap: float = Field(0.5, ge=0, lt=1)
    smallest: float = Field(0.25, ge=0, lt=1)
    proposals: ProposalParams = ProposalParams()
