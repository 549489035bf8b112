"""Everything that IRN computed for one picture, for lessons and figures."""

from dataclasses import dataclass

import numpy as np
import torch

from weakseg.nets.classifier import read_cams
from weakseg.ops import displacement as shift
from weakseg.ops.cam import Cams
from weakseg.ops.instances import Scores, WalkParams, instance_scores, propagate_all
from weakseg.papers.irn.params import LabelsParams
from weakseg.study.artifacts import load_maps
from weakseg.study.stages import Artifact


@dataclass(frozen=True)
class Look:
    """Maps of one picture on the grid (h, w) of stride 4.

    boundary (h, w) in [0, 1]; displacement (2, h, w) in cells; regions (h, w), instance numbers, 0 for none; scores and
    grown: instance-wise attention before and after the random walk.
    """

    cams: Cams
    boundary: np.ndarray
    displacement: np.ndarray
    regions: np.ndarray
    scores: Scores
    grown: Scores


def look(cams: Artifact, fields: Artifact, name: str, walk: WalkParams, labels: LabelsParams) -> Look:
    """The picture `name`, which both artifacts must cover (FileNotFoundError otherwise)."""
    attention, stored = read_cams(cams, name), load_maps(fields / "fields", name)
    boundary, displacement = stored["boundary"].astype(np.float32), stored["displacement"].astype(np.float32)
    ends = shift.end_points(torch.from_numpy(displacement)[None], labels.iterations)[0].numpy()
    scores = instance_scores(attention, displacement, ends, labels.weak, labels.faithful)
    grown = propagate_all([scores], boundary[None], walk)[0]
    regions = shift.instance_map(displacement, ends, labels.weak, labels.faithful)
    return Look(attention, boundary, displacement, regions, scores, grown)
