"""Displacement colours, pair kinds and the pairs that are drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import rgb_to_hsv

from weakseg.ops import affinity as ops
from weakseg.ops.displacement import end_points
from weakseg.plots import fields, panels, relations


def test_hue_is_the_direction_and_strength_the_length():
    field = np.zeros((2, 1, 4))
    field[:, 0] = [[0, 1, 0, -1], [2, 0, -1, 0]]  # right (long), down, left, up
    hsv = rgb_to_hsv(fields.displacement_colours(field, longest=2.0))[0]
    np.testing.assert_allclose(hsv[:, 0], [0, 0.25, 0.5, 0.75], atol=1e-6)
    np.testing.assert_allclose(hsv[:, 1], [1, 0.5, 0.5, 0.5], atol=1e-6)


def test_no_displacement_is_white():
    np.testing.assert_array_equal(fields.displacement_colours(np.zeros((2, 3, 3))), 1.0)


def test_kinds_of_pairs():
    first, second = np.array([0, 2, 2, 1, 255, 0]), np.array([0, 2, 1, 0, 1, 255])
    assert relations.kinds_of(first, second).tolist() == [1, 0, 2, 2, -1, -1]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 99), radius=st.integers(2, 7))
def test_sampled_pairs_are_inside_near_and_decided(seed, radius):
    labels = np.random.default_rng(seed).choice([0, 1, 2, 255], size=(9, 13))
    ends, kinds = relations.sample_pairs(labels, radius, count=6, seed=seed)
    assert (ends >= 0).all() and (ends < labels.shape).all()
    length = ((ends[:, 0] - ends[:, 1]) ** 2).sum(axis=1)
    assert (length > 0).all() and (length < radius**2).all()
    values = labels[ends[..., 0], ends[..., 1]]
    assert (values != panels.VOID).all()
    assert kinds.tolist() == relations.kinds_of(values[:, 0], values[:, 1]).tolist()
    assert (np.bincount(kinds, minlength=3) <= 6).all()


def test_instance_map_leaves_what_is_no_instance_pale():
    index = np.zeros((4, 6), int)
    index[1:3, 1:3], index[1:3, 4] = 1, 2
    figure = panels.grid({"": {"map": fields.instance_map(index)}}, "t")
    painted = figure.axes[0].images[-1].get_array()
    assert (painted[0, 0] == painted[3, 5]).all() and np.ptp(painted[0, 0]) == 0
    assert len({tuple(painted[y, x]) for y, x in ((0, 0), (1, 1), (1, 4))}) == 3


@pytest.mark.parametrize("panel", [
    fields.displacement(np.ones((2, 5, 7)), mask=np.zeros((5, 7), bool)), fields.boundaries(np.eye(5)),
    fields.paths(np.ones((2, 5, 7)), np.ones((3, 4, 2))), fields.affinity(np.eye(5), (2, 3)), relations.pair_key(),
])  # fmt: skip
def test_every_field_panel_draws_without_axes(panel):
    axes = panels.grid({"": {"panel": panel}}, "t").axes[0]
    assert len(axes.get_xticks()) == 0 and axes.has_data() == (panel.__qualname__.split(".")[0] != "pair_key")


def test_affinity_from_a_cell_stops_at_boundaries():
    boundary = np.zeros((7, 9))
    boundary[:, 5] = 0.8  # a wall right of the place
    affinity = fields.affinity_from(boundary, (3, 4), radius=4)
    assert affinity[3, 4] == 1 and affinity[3, 2] == 1
    assert affinity[3, 5] == affinity[3, 7] == pytest.approx(0.2)
    assert affinity[3, 8] == affinity[0, 0] == 0  # beyond the radius


def test_affinity_from_a_cell_agrees_with_all_pairs():
    boundary = np.random.default_rng(3).random((11, 13))
    radius, place = 3, (4, 6)
    pairs = ops.affinities(torch.from_numpy(boundary)[None], radius)[0]
    affinity = fields.affinity_from(boundary, place, radius)
    for number, (dy, dx) in enumerate(ops.offsets(radius)):
        assert affinity[place[0] + dy, place[1] + dx] == pytest.approx(
            float(pairs[number, place[0], place[1] - radius + 1])
        )


def test_tracks_end_where_the_study_says_cells_end():
    y, x = np.mgrid[:10, :12].astype(float)
    field = 0.3 * np.stack([4 - y, np.where(x < 6, 2 - x, 9 - x)])
    tracks = fields.mean_shift_tracks(field, steps=60, every=1)
    ends = end_points(torch.from_numpy(field)[None], 60)[0].numpy()
    assert tracks.shape == (61, 120, 2)
    np.testing.assert_array_equal(tracks[-1].round().T.reshape(2, 10, 12), ends)
