"""Hand-drawn corner cases of the rule G2, 16 x 16 pixels each (Oh et al. 2017, appendix E).

`.` is background, a digit its label; in a saliency map `#` is salient. Missing rows are background.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SIDE = 16
LETTERS = {".": 0, "#": 1, "?": 255} | {str(digit): digit for digit in range(1, 10)}


@dataclass(frozen=True)
class Case:
    """Seeds uint8 (16, 16), saliency bool (16, 16), and a picture uint8 (16, 16, 3) for the CRF."""

    seeds: np.ndarray
    salient: np.ndarray
    image: np.ndarray


def drawn(rows: Sequence[str]) -> np.ndarray:
    """Rows of letters as a label map uint8 (16, 16). ValueError for a row of another length or an unknown letter."""
    for number, row in enumerate(rows, 1):
        if len(row) != SIDE or set(row) - set(LETTERS):
            raise ValueError(f"row {number}: '{row}' must be {SIDE} letters of {''.join(LETTERS)}")
    values = [[LETTERS[letter] for letter in row] for row in [*rows, *["." * SIDE] * (SIDE - len(rows))]]
    return np.array(values, np.uint8)


def case(seeds: Sequence[str], salient: Sequence[str], image: np.ndarray | None = None) -> Case:
    """A case from its rows; a grey picture where none is given."""
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    return Case(drawn(seeds), drawn(salient) > 0, grey if image is None else image)


def two_colours() -> np.ndarray:
    """A picture whose left half is red and whose right half is blue."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:, : SIDE // 2, 0] = image[:, SIDE // 2 :, 2] = 200
    return image


_BLANK = "." * SIDE
_BLOCK = [_BLANK] * 2 + ["..######........"] * 5
CASES: dict[str, Case] = {
    "one seed in a component": case([_BLANK] * 3 + ["....33.........."] * 2, _BLOCK),
    "a component without seed": case([], _BLOCK),
    "a seed that bleeds out": case([_BLANK] * 3 + ["......2222......"] * 2, _BLOCK),
    "a seed in two components": case([_BLANK] * 3 + ["....44444444...."], [_BLANK] * 2 + ["..####....####.."] * 4),
    "an isolated seed": case(
        [_BLANK] * 3 + ["...1.......2...."] + ["...........22..."], [_BLANK] * 2 + ["..####.........."] * 4
    ),
    "two classes in a component": case(
        [_BLANK] * 7 + ["...11......22..."] * 2, [_BLANK] * 2 + ["..############.."] * 12, two_colours()
    ),
    "nothing salient": case([_BLANK] * 5 + ["....111........."] * 3, []),
}
