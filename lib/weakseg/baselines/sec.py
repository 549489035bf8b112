"""SEC (Kolesnikov and Lampert, ECCV 2016): seed, expand, constrain; a segmentation net from tags alone."""

from __future__ import annotations

from pydantic import Field

from weakseg.nets.deeplab import DeeplabParams
from weakseg.ops.crf import CrfParams
from weakseg.study.params import Group


class SecParams(Group):
    """Defaults: the released settings (methods 7.1).

    net: the segmentation net, its optimisation and how it labels. side: pictures are resized to a square of this side;
    null takes them as they are. foreground: share of a class map's maximum above which a cell is a cue.
    background: share of the cells with the weakest gradient that are background cues. saliency_stage: the backbone map
    at which the gradient is taken (conv4_1 has stride 8: the third of five).
    decay_foreground, decay_background: rank pooling weights per rank on the paper's grid of 41 x 41 cells; other grids
    use the same weight at the same share of the ranks. crf: pixel widths refer to the picture, the grid divides them.
    """

    net: DeeplabParams
    side: int | None = Field(321, ge=32)
    foreground: float = Field(0.2, gt=0, lt=1)
    background: float = Field(0.1, gt=0, lt=1)
    saliency_stage: int = Field(3, ge=1, le=5)
    decay_foreground: float = Field(0.996, gt=0, lt=1)
    decay_background: float = Field(0.999, gt=0, lt=1)
    crf: CrfParams = CrfParams(bilateral_xy=80.0, bilateral_rgb=13.0)
