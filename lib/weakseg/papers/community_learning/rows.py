"""The rows of tables 3, 4, 6 and 7 as changes of the parameters: session.changed(**TABLE3["Detector"])."""

from typing import Any

Changes = dict[str, dict[str, Any]]

WITHOUT_REG: Changes = {"detector": {"regressor": "none"}}
WITHOUT_IS: Changes = {"seg": {"on": False}}

TABLE3: dict[str, Changes] = {
    "Detector": {**WITHOUT_REG, **WITHOUT_IS, "img": {"on": False}},
    "Detector + IMG": {**WITHOUT_REG, **WITHOUT_IS},
    "Detector + IMG + IS": WITHOUT_REG,
    "Detector + REG + IMG + IS": {},
}


def _img(background: bool, weighted: bool, smooth: bool) -> Changes:
    """A column of table 4; an even pooling is the Gaussian of no width given."""
    even = {} if weighted else {"sigma": None}
    return {**WITHOUT_REG, "img": {"background": background, "smooth": smooth, **even}}


TABLE4: dict[str, Changes] = {
    "BG": _img(True, False, False),
    "BG + wGAP": _img(True, True, False),
    "BG + FS": _img(True, False, True),
    "wGAP + FS": _img(False, True, True),
    "All": _img(True, True, True),
}

TABLE6: dict[str, Changes] = {
    "Ours w/o REG": WITHOUT_REG,
    "Ours (class-specific)": {"detector": {"regressor": "specific"}},
    "Ours (class-agnostic)": {},
}

TABLE7: dict[str, Changes] = {
    row: {**WITHOUT_REG, **WITHOUT_IS, "img": {"cams": count}}
    for row, count in (("1", 1), ("2", 2), ("3 (ours)", 3), ("4", 4))
}
