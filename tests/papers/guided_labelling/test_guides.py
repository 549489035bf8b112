"""Every rule of the guide labeller on 16 x 16 pictures drawn by hand (`cases.drawn`), with the expected label map
written out.
"""

import numpy as np
import pytest

from weakseg.papers.guided_labelling import guides
from weakseg.papers.guided_labelling.cases import CASES, drawn
from weakseg.papers.guided_labelling.guides import GuideParams

PAPER, RELEASED = GuideParams(), GuideParams(faithful=True)
EMPTY = "................"
GREY = np.full((16, 16, 3), 128, np.uint8)


def check(seeds, salient, expected, params=PAPER, image=GREY):
    found = guides.g2(image, drawn(seeds), drawn(salient) > 0, params)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, drawn(expected))


def test_one_seed_takes_its_component():
    check(
        [EMPTY] * 3 + ["....33.........."] * 2,
        [EMPTY] * 2 + ["..######........"] * 5,
        [EMPTY] * 2 + ["..333333........"] * 5,
    )


def test_a_component_without_seed_is_ignored():
    salient = [EMPTY] * 2 + ["..######........"] * 5
    check([], salient, [row.replace("#", "?") for row in salient])


def test_a_seed_that_bleeds_out_is_ignored_outside():
    check(
        [EMPTY] * 3 + ["......2222......"] * 2,
        [EMPTY] * 2 + ["..######........"] * 5,
        [EMPTY] * 2 + ["..222222........"] + ["..222222??......"] * 2 + ["..222222........"] * 2,
    )


def test_a_seed_that_touches_two_components_labels_both():
    check(
        [EMPTY] * 3 + ["....44444444...."],
        [EMPTY] * 2 + ["..####....####.."] * 4,
        [EMPTY] * 2 + ["..4444....4444..", "..4444????4444.."] + ["..4444....4444.."] * 2,
    )


def test_an_isolated_seed_stays_beside_one_that_spreads():
    check(
        [EMPTY] * 3 + ["...1.......5...."] + ["...........55..."],
        [EMPTY] * 2 + ["..####.........."] * 4,
        [EMPTY] * 2 + ["..1111..........", "..1111.....5....", "..1111.....55...", "..1111.........."],
    )


def test_two_components_of_one_class_are_judged_one_by_one():
    """The left part of class 1 touches the component, the right part is isolated although it is the same class."""
    check(
        [EMPTY] * 3 + [".111.......1...."],
        [EMPTY] * 2 + ["..####.........."] * 3,
        [EMPTY] * 2 + ["..1111..........", ".?1111.....1....", "..1111.........."],
    )


def test_seeds_that_touch_only_by_a_corner_are_one():
    """Eight neighbours: the diagonal cell belongs to the seed that spreads, so it is ignored outside."""
    check(
        [EMPTY] * 4 + ["...2............", "......2.........", ".......2........"],
        [EMPTY] * 3 + ["..#####........."] * 3,
        [EMPTY] * 3 + ["..22222........."] * 3 + [".......?........"],
    )


def test_two_classes_share_a_component_as_the_picture_is_coloured():
    """Seeds of 1 on dark, of 2 on bright ground; the CRF puts the border where the colour changes, at column 9."""
    image = np.full((16, 16, 3), 40, np.uint8)
    image[:, 9:] = 215
    check(
        [EMPTY] * 6 + ["...11.......22.."] * 3,
        [EMPTY] * 4 + ["..############.."] * 8,
        [EMPTY] * 4 + ["..111111122222.."] * 8,
        GuideParams(blur=2.0),
        image,
    )


def test_nothing_salient_leaves_the_seeds():
    seeds = [EMPTY] * 3 + ["....33..........", "....33....1....."]
    check(seeds, [], seeds)


def test_a_component_under_one_percent_counts_as_not_salient():
    """1 % of 256 pixels are 2.56: two pixels are dropped, three are kept."""
    check(
        [EMPTY] * 2 + ["..1............."],
        [EMPTY] * 2 + ["..##......###..."],
        [EMPTY] * 2 + ["..1.......???..."],
    )


def test_released_ignores_nothing_and_drops_small_seeds():
    """Class 3 has 5 x 5 pixels and spreads; class 1 has 24 and is dropped: its component ends as background, as do the
    pixels of class 3 outside. No background seed lies in a component, so the top rows keep their label."""
    seeds = ["33333..........."] * 5 + [EMPTY] * 3 + ["........111111.."] * 4
    salient = ["####............"] * 5 + [EMPTY] * 3 + ["........######.."] * 4
    check(seeds, salient, ["3333............"] * 5, RELEASED)
    expected = ["3333?..........."] * 5 + [EMPTY] * 3 + ["........111111.."] * 4
    check(seeds, salient, expected)


def test_released_slip_clears_the_two_top_rows():
    """One background pixel inside the component is enough."""
    seeds = ["33333..........."] * 5
    salient = ["######.........."] * 5
    check(seeds, salient, [EMPTY] * 2 + ["333333.........."] * 3, RELEASED)


def test_released_drops_a_line_of_seeds():
    check(["3333333333333333"] * 2, [], ["3333333333333333"] * 2, RELEASED)
    assert guides.large_seeds(drawn(["3..............."] * 16), 2)[0, 0] == 255


def test_released_crf_takes_scores_not_probabilities():
    """Hardly blurred, on a seed of class 1: 0.999 against 0.001, or the softmax of the two, 1 / (1 + exp(-0.998))."""
    seeds = drawn([EMPTY] * 6 + ["...11.......22.."] * 3)
    for params, expected in ((PAPER, 0.999), (RELEASED, 1 / (1 + np.exp(-0.998)))):
        params = params.model_copy(update={"blur": 0.01})
        found = guides.seed_probabilities(seeds, np.array([1, 2]), params)
        assert found[0, 7, 3] == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(found.sum(0), 1, rtol=1e-6)


def test_g0_paints_one_of_the_tags_on_the_whole_mask():
    salient = drawn([EMPTY, "..##......###..."]) > 0
    tags = np.array([0, 1, 0, 1])
    seen = set()
    for draw in range(20):
        found = guides.g0(salient, tags, np.random.default_rng(draw))
        (label,) = np.unique(found[salient])
        assert (found[~salient] == 0).all()
        seen.add(int(label))
    assert seen == {2, 4}


def test_g1_gives_each_component_the_tag_that_gains_most():
    """Component 1: gains -1 (class 1) and +2 (class 3); component 2: both lose, class 1 less. Class 2 has no tag."""
    salient = drawn([EMPTY, "..##......###...", "..##......###..."]) > 0
    regions = guides.components(salient, 1)
    whole = np.array([3.0, 0.0, 1.0])
    alone = np.array([[2.0, 50.0, 3.0], [2.5, 60.0, -4.0]])
    found = guides.g1(regions, alone, whole, np.array([1, 0, 1]))
    np.testing.assert_array_equal(found, drawn([EMPTY, "..33......111...", "..33......111..."]))


def test_g1_of_nothing_salient_is_background():
    found = guides.g1(np.zeros((16, 16), int), np.zeros((0, 3)), np.zeros(3), np.ones(3))
    assert found.dtype == np.uint8 and not found.any()


def test_the_oracle_is_g2_with_the_true_foreground():
    """A seed that leaks is cut at the true outline; an object without seed is left out."""
    truth = [EMPTY] * 2 + ["..111.....222..."] * 4
    check(
        [EMPTY] * 3 + ["...1111........."],
        [row.replace("1", "#").replace("2", "#") for row in truth],
        [EMPTY] * 2 + ["..111.....???...", "..111??...???..."] + ["..111.....???..."] * 2,
    )


def test_components_are_numbered_in_order_without_gaps():
    mask = drawn(["##..#...###.....", "##......###....."]) > 0
    assert guides.components(mask, 2)[0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0]


def test_a_saliency_map_of_another_size_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"saliency \(8, 8\): sizes differ") as refused:
        guides.g2(GREY, drawn([]), np.zeros((8, 8), bool), PAPER)
    assert "\n" not in str(refused.value)


# ---------------------------------------------------------------- the cases of the lesson


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one seed in a component", [EMPTY] * 2 + ["..333333........"] * 5),
        ("a component without seed", [EMPTY] * 2 + ["..??????........"] * 5),
        (
            "an isolated seed",
            [EMPTY] * 2 + ["..1111..........", "..1111.....2....", "..1111.....22...", "..1111.........."],
        ),
        ("two classes in a component", [EMPTY] * 2 + ["..111111222222.."] * 12),
        ("nothing salient", [EMPTY] * 5 + ["....111........."] * 3),
    ],
)
def test_cases_of_the_lesson(name, expected):
    case = CASES[name]
    np.testing.assert_array_equal(guides.g2(case.image, case.seeds, case.salient, PAPER), drawn(expected))


def test_a_row_that_is_no_row_is_named():
    with pytest.raises(ValueError, match="row 2: '..x' must be 16 letters"):
        drawn([EMPTY, "..x"])
