"""The switch that keeps photographs out of figures, and the painting of masks."""

from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest

from weakseg.plots import canvas, fields, panels, relations, sheets

RNG = np.random.default_rng(0)
ONE, OTHER = RNG.integers(0, 255, (2, 24, 32, 3)).astype(np.uint8)
MASKS = np.zeros((2, 24, 32), bool)
MASKS[0, 2:10, 3:12] = MASKS[1, 8:20, 14:30] = True
LABELS = np.where(MASKS[0], 1, np.where(MASKS[1], 2, 0))
LABELS[20:] = 255
ENDS, KINDS = relations.sample_pairs(LABELS, radius=4, count=5)
MAP = np.linspace(0, 1, 48).reshape(6, 8)

KINDS_OF_PICTURE = {
    "contact sheet": lambda image: sheets.contact_sheet([image], ["dog"], "t"),
    "overlay": lambda image: sheets.overlay([image], [MASKS], ["dog"], "t"),
    "maps row": lambda image: sheets.maps_row(image, {"dog": MAP}, "t"),
    "panel row": lambda image: sheets.panel_row(image, {"truth": panels.outlines(image, MASKS)}, "t"),
    "labels": lambda image: panels.grid({"": {"labels": panels.labels(image, LABELS)}}, "t"),
    "instance map": lambda image: panels.grid({"": {"map": fields.instance_map(LABELS, image)}}, "t"),
    "pairs": lambda image: panels.grid({"": {"pairs": relations.pair_relations(image, LABELS, ENDS, KINDS)}}, "t"),
}


def pixels(figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="rgba", dpi=50)
    return file.getvalue()


@pytest.fixture(autouse=True)
def hidden_again():
    yield
    canvas.show_pictures(None)


@pytest.mark.parametrize("kind", KINDS_OF_PICTURE)
def test_a_figure_of_photographs_does_not_depend_on_the_photograph(kind):
    canvas.show_pictures(SimpleNamespace(layout="voc"))
    assert pixels(KINDS_OF_PICTURE[kind](ONE)) == pixels(KINDS_OF_PICTURE[kind](OTHER))


@pytest.mark.parametrize("kind", KINDS_OF_PICTURE)
def test_a_figure_of_drawn_pictures_shows_them(kind):
    canvas.show_pictures(SimpleNamespace(layout="menagerie"))
    assert pixels(KINDS_OF_PICTURE[kind](ONE)) != pixels(KINDS_OF_PICTURE[kind](OTHER))


def test_pictures_are_hidden_until_someone_says_they_are_drawn():
    assert np.unique(canvas.backdrop(ONE)) == canvas.SHEET
    assert canvas.show_pictures(SimpleNamespace(layout="menagerie"))
    np.testing.assert_allclose(canvas.backdrop(ONE), ONE / 255)
    assert not canvas.show_pictures(None)
    assert np.unique(canvas.backdrop(ONE)) == canvas.SHEET


def test_backdrop_takes_whole_numbers_and_fractions_alike():
    canvas.show_pictures(SimpleNamespace(layout="menagerie"))
    np.testing.assert_allclose(canvas.backdrop(ONE), canvas.backdrop(ONE / 255.0))


def test_paint_changes_the_masks_and_nothing_else():
    painted = canvas.paint(ONE, MASKS, [0, 1])
    outside = ~MASKS.any(0)
    np.testing.assert_array_equal(painted[outside], canvas.pale(ONE)[outside])
    assert (painted[MASKS[0]] != canvas.pale(ONE)[MASKS[0]]).any(axis=1).all()
    assert painted.min() >= 0 and painted.max() <= 1


def test_the_first_eight_colours_differ_clearly():
    colours = np.stack([canvas.colour(i) for i in range(7)])
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=2)
    assert distance[~np.eye(7, dtype=bool)].min() > 0.25
    np.testing.assert_array_equal(canvas.colour(canvas.MANY), canvas.colour(0))
