"""Displacement fields whose answer is known."""

import numpy as np
import torch

from weakseg.ops.displacement import end_points, instance_map, one_hot


def towards(centres, owner):
    """Field (2, H, W) in which every cell points straight at the centre of its owner."""
    ys, xs = np.mgrid[: owner.shape[0], : owner.shape[1]]
    wanted = np.array(centres, float)[owner]  # (H, W, 2)
    return np.stack([wanted[..., 0] - ys, wanted[..., 1] - xs]).astype(np.float32)


def test_an_exact_field_gives_its_instances():
    owner = np.zeros((12, 20), int)
    owner[:, 10:] = 1
    field = towards([(6, 4), (5, 15)], owner)
    ends = end_points(torch.from_numpy(field)[None], 20)[0].numpy()
    assert (ends[:, :, :9].reshape(2, -1).T == (6, 4)).all()
    found = instance_map(field, ends, 1.5, keep_rest=False)
    assert set(np.unique(found)) == {1, 2}
    np.testing.assert_array_equal(found == found[0, 0], owner == 0)


def test_small_steps_arrive_after_enough_iterations():
    field = torch.from_numpy(towards([(8, 8)], np.zeros((17, 17), int)) * 0.1)[None]
    few, many = end_points(field, 3), end_points(field, 200)
    assert (few != 8).any()
    assert (many == 8).all()


def test_end_points_by_hand():
    field = torch.zeros(1, 2, 1, 4)
    field[0, 1] = torch.tensor([1.0, 0.5, 0.0, -3.0])
    # 0 -> 1 -> 1.5 -> 1.5 + (0.5 + 0) / 2 = 1.75;  3 -> 0 (kept on the grid) -> 1 -> 1.5
    assert end_points(field, 3)[0, 1, 0].tolist() == [2, 2, 2, 2]
    assert end_points(field, 1)[0, 1, 0].tolist() == [1, 2, 2, 0]


def test_points_never_leave_the_grid():
    field = 50 * torch.randn(3, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    ends = end_points(field, 10)
    assert ends.min() >= 0 and ends[:, 0].max() <= 8 and ends[:, 1].max() <= 6


def test_what_arrives_nowhere():
    field = np.full((2, 4, 6), 5.0, np.float32)
    field[:, :2, :2] = 0  # the only centroid region
    ends = np.stack(np.mgrid[:4, :6])
    kept, dropped = (instance_map(field, ends, 2.5, keep) for keep in (True, False))
    assert set(np.unique(kept)) == {1, 2}
    assert set(np.unique(dropped)) == {0, 1}
    np.testing.assert_array_equal(dropped == 1, np.hypot(*field) < 2.5)


def test_a_field_without_region_is_one_instance():
    field, ends = np.full((2, 3, 3), 9.0), np.zeros((2, 3, 3), int)
    for keep in (True, False):
        assert (instance_map(field, ends, 2.5, keep) == 1).all()


def test_numbers_have_no_gaps_and_diagonal_regions_are_two():
    field = np.full((2, 6, 6), 9.0)
    field[:, 0, 0] = field[:, 1, 1] = field[:, 4, 4] = 0
    ends = np.zeros((2, 6, 6), int)
    ends[:, 3:] = 4  # nobody arrives at (1, 1)
    found = instance_map(field, ends, 2.5, keep_rest=False)
    assert set(np.unique(found)) == {1, 2}


def test_one_hot_leaves_out_number_zero():
    planes = one_hot(np.array([[0, 1], [2, 1]]))
    np.testing.assert_array_equal(planes, [[[0, 1], [0, 1]], [[0, 0], [1, 0]]])
    assert one_hot(np.zeros((2, 2), int)).shape == (0, 2, 2)
