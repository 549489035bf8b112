"""Masks give way to the region that overlaps them most."""

import numpy as np

from weakseg.ops.proposals import ProposalParams, propose
from weakseg.ops.region_swap import swap_regions, swapped
from weakseg.study.artifacts import load_instances, save_instances
from weakseg.study.stages import Artifact


def row(*spans: tuple[int, int]) -> np.ndarray:
    masks = np.zeros((len(spans), 1, 10), bool)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[0, start:stop] = True
    return masks


def test_the_best_region_replaces_a_mask():
    """0..4 meets 0..5 by 4/5 and 0..10 by 4/10; 9..10 meets 0..10 only; the empty mask meets nothing."""
    found = swapped(row((0, 4), (9, 10), (0, 0)), row((0, 10), (0, 5)))
    assert np.array_equal(found, row((0, 5), (0, 10), (0, 0)))


def test_without_regions_or_masks_nothing_changes():
    masks = row((0, 4))
    assert np.array_equal(swapped(masks, row()), masks)
    assert swapped(row(), masks).shape == (0, 1, 10)


def test_stage_keeps_labels_and_scores(drawn, tmp_path):
    store, pictures, data = drawn
    from weakseg.data.sets import open_set

    view = open_set(pictures, data, "val")
    regions = store(propose, pictures=pictures, data=data, split="val", proposals=ProposalParams(smallest=10))
    for index, name in enumerate(view.names):
        masks = np.zeros((1, *view.image(index).shape[:2]), bool)
        masks[0, 10:40, 10:40] = True
        save_instances(tmp_path / "in/instances", name, masks, np.array([2]), np.array([0.5]))
    how = {"regions": regions, "pictures": pictures, "data": data, "split": "val"}
    swap_regions(tmp_path / "out", predictions=Artifact(tmp_path / "in", "k"), **how)
    masks, labels, scores = load_instances(tmp_path / "out/instances", view.names[0])
    assert labels.tolist() == [2] and scores.tolist() == [0.5] and masks.any()
