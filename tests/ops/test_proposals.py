"""Proposals: the grouping by hand, its bookkeeping, and that objects are among the masks."""

import time

import numpy as np
import pytest

from weakseg.metrics.overlap import mask_iou
from weakseg.ops import proposals
from weakseg.ops.proposals import ProposalParams
from weakseg.study.stages import Artifact


def coloured_scene(size=96, seed=0):
    """Two touching discs of different colour on a plain ground, a little noise; and their masks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    left, right = ((y - 48) ** 2 + (x - centre) ** 2 < 18**2 for centre in (30, 64))
    picture = np.full((size, size, 3), (90, 130, 90), float)
    picture[left], picture[right] = (200, 60, 60), (60, 60, 200)
    return np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8), np.stack([left, right])


def test_segments_are_numbered_without_gaps():
    picture, _ = coloured_scene()
    segments = proposals.segment(picture, 100.0, 0.8, 20)
    assert segments.shape == (96, 96)
    assert set(np.unique(segments)) == set(range(segments.max() + 1))
    assert np.bincount(segments.ravel()).min() >= 20


def test_grouping_merges_the_most_alike_first():
    """A strip of four equal segments coloured a, a, b, b: the two a and the two b join before a meets b."""
    segments = np.repeat(np.arange(4), 10)[None].repeat(4, axis=0)
    colours = np.where(segments[..., None] < 2, 10, 200).repeat(3, axis=2).astype(np.uint8)
    members = proposals.group_regions(segments, colours)
    unions = {tuple(np.flatnonzero(row).tolist()) for row in members}
    assert unions == {(0,), (1,), (2,), (3,), (0, 1), (2, 3), (0, 1, 2, 3)}


def test_only_neighbours_merge():
    """Colours a, b, a in a row: the two a are alike but do not touch, so each union holds the middle."""
    segments = np.repeat(np.arange(3), 6)[None].repeat(6, axis=0)
    colours = np.where(segments[..., None] == 1, 10, 200).repeat(3, axis=2).astype(np.uint8)
    members = proposals.group_regions(segments, colours)
    assert not any((row == [True, False, True]).all() for row in members)
    assert members.sum() == 3 + 2 + 3


@pytest.mark.parametrize("seed", range(3))
def test_unions_are_nested_and_connected(seed):
    """Every region after the segments is the disjoint union of two earlier ones; the last is the whole picture."""
    rng = np.random.default_rng(seed)
    picture = np.kron(rng.integers(0, 255, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    segments = proposals.segment(picture, 50.0, 0.5, 5)
    members = proposals.group_regions(segments, picture)
    R = segments.max() + 1
    assert R > 4 and members[-1].all()
    shared = members.astype(int) @ members.T
    size = shared.diagonal()
    for number in range(R, 2 * R - 1):
        below = shared[:number, number] == size[:number]  # regions inside this one
        apart = shared[:number, :number] == 0
        fills = size[:number, None] + size[None, :number] == size[number]
        assert (apart & fills & below[:, None] & below[None]).any()


def test_common_cells():
    layers = [np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]]), np.array([[2, 1, 1, 0]])]
    cells, inside = proposals.common_cells(layers)
    for layer, of_cell in zip(layers, inside, strict=True):
        np.testing.assert_array_equal(of_cell[cells], layer)
    assert sorted(np.unique(cells)) == [0, 1, 2, 3]


def test_objects_are_among_the_masks():
    picture, objects = coloured_scene()
    masks = proposals.region_masks(picture, ProposalParams())
    assert (mask_iou(objects, masks).max(axis=1) > 0.9).all()


def test_masks_are_distinct_and_of_fair_size():
    picture, _ = coloured_scene()
    masks = proposals.region_masks(picture, ProposalParams(min_area=0.01, max_area=0.5, distinct=0.8))
    iou = mask_iou(masks, masks)
    assert iou[~np.eye(len(iou), dtype=bool)].max() <= 0.8
    assert masks.mean(axis=(1, 2)).min() > 0.01 and masks.mean(axis=(1, 2)).max() < 0.5
    assert len(proposals.region_masks(picture, ProposalParams(limit=3))) == 3
    np.testing.assert_array_equal(
        masks, proposals.region_masks(picture, ProposalParams(min_area=0.01, max_area=0.5, distinct=0.8))
    )


def test_the_short_form_is_stored_and_read_back(tmp_path):
    picture, _ = coloured_scene()
    proposals._write_regions(tmp_path / "regions", ProposalParams(), ("a", picture))
    read = proposals.load_proposals(Artifact(tmp_path, "key"), "a")
    np.testing.assert_array_equal(read, proposals.region_masks(picture, ProposalParams()))


@pytest.mark.parametrize("search", [None, "single"])
def test_a_plain_picture_has_no_proposal(search):
    plain = np.full((40, 50, 3), 7, np.uint8)
    assert proposals.region_masks(plain, ProposalParams(search=search)).shape == (0, 40, 50)


@pytest.mark.parametrize("seed", range(3))
def test_cells_of_boxes_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    cells = np.kron(np.arange(12).reshape(3, 4), np.ones((4, 5), int))
    corners = np.sort(rng.integers(0, (13, 21), (30, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, 0, ::-1], corners[:, 1, ::-1]], axis=1).astype(np.float32)
    found = proposals.boxed_cells(boxes, cells)
    for box, row in zip(boxes.astype(int), found, strict=True):
        x0, y0, x1, y1 = box
        held = [((cells[y0:y1, x0:x1] == cell).sum() > 10) for cell in range(12)]  # a cell has 20 pixels
        assert row.tolist() == held
    assert proposals.boxed_cells(boxes[:0], cells).shape == (0, 12)


def test_half_of_a_cell_is_not_most_of_it():
    cells = np.array([[0, 0, 0, 1, 1, 1, 1]])
    found = proposals.boxed_cells(np.array([[0, 0, 2, 1], [0, 0, 5, 1], [1, 0, 6, 1]]), cells)
    assert found.tolist() == [[True, False], [True, False], [True, True]]


def test_selective_search_adds_masks_and_takes_none():
    """Without a limit every grouped union stays or has a mask alike; the boxes of the objects bring more."""
    picture, _ = coloured_scene()
    rough = {"scales": (30.0,), "limit": 1000}
    grouped = proposals.region_masks(picture, ProposalParams(**rough))
    both = proposals.region_masks(picture, ProposalParams(**rough, search="single"))
    assert len(both) > len(grouped)
    assert mask_iou(grouped, both).max(axis=1).min() >= 0.95
    first = proposals.region_masks(picture, ProposalParams(**rough, search="single", search_limit=1))
    assert len(first) <= len(grouped) + 1
    assert len(proposals.region_masks(picture, ProposalParams(search="single", limit=3))) == 3


@pytest.mark.parametrize("mode", ["single", "fast"])
def test_selective_search_boxes_are_sorted_inside_and_repeat(mode):
    picture, objects = coloured_scene()
    boxes = proposals.selective_search(picture, mode)
    assert boxes[:, :2].min() >= 0 and boxes.max() <= 96
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    assert (np.diff(areas) <= 0).all() and areas.min() > 0
    np.testing.assert_array_equal(boxes, proposals.selective_search(picture, mode))
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert len(proposals.selective_search(picture, mode, limit=2)) == 2


def test_milliseconds_a_picture():
    picture, _ = coloured_scene(128)
    start = time.process_time()
    for _ in range(5):
        proposals.region_masks(picture, ProposalParams())
    assert (time.process_time() - start) / 5 < 0.1
