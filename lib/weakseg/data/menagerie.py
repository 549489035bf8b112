"""Menagerie: the embedded set of drawn animals.

Picture number `index` depends on (seed, index, params) and on nothing else.

Hard in the ways the papers are about: a class shows only in the patterned head while all bodies look alike; bodies of
one class
touch and hide each other; water keeps company with one class; headless boulders are salient and belong to no class.
"""

from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from weakseg.data import layouts
from weakseg.data.drawing import CLASS_PATTERNS, SALIENT_PATTERNS, background, water
from weakseg.data.scene import Picture, Scene
from weakseg.study.machine import parallel
from weakseg.study.params import Group

MENAGERIE_VERSION = 1
STREAMS = {"animals": 0, "salient": 1, "ilso": 2}
FIRST = {"trainaug": 0, "val": 400_000, "tune": 700_000}  # the val pictures are the same however many are trained on


class MenagerieParams(Group):
    """What is drawn and how hard it is.

    Lengths are shares of the shorter side or, where said, of a body's half-length.
    """

    seed: int = 0
    size: int | tuple[int, int] = 128  # side in pixels, or (height, width)
    classes: int = Field(6, ge=2, le=len(CLASS_PATTERNS))
    n_trainaug: int = Field(2000, ge=1, le=300_000)
    n_train: int = Field(400, ge=1)  # the first of trainaug: where pseudo labels are judged
    n_val: int = Field(400, ge=1, le=300_000)
    n_tune: int = Field(200, ge=1, le=300_000)  # set aside: thresholds are chosen here
    n_salient: int = Field(600, ge=0)
    n_salient_test: int = Field(100, ge=0)
    n_ilso: int = Field(300, ge=0)
    annotators: int = Field(9, ge=1)  # boxes per picture of the MSRA-B style file
    coco: bool = True

    half_length: tuple[float, float] = (0.14, 0.36)  # log-uniform
    aspect: tuple[float, float] = (0.65, 0.95)
    lobes: float = Field(0.15, ge=0, le=0.5)  # contour waves
    bumps: float = Field(0.13, ge=0, le=0.5)  # feet, ears, tail; share of half_length
    tilt: float = Field(0.5, ge=0)  # largest tilt, radians
    head_radius: float = Field(0.33, gt=0, lt=1)  # share of half_length
    head_shift: float = Field(0.5, ge=0, le=0.8)  # times 0.5..1.2
    contrast: tuple[float, float] = (0.7, 1.0)
    body_pattern: float = Field(0.02, ge=0, le=1)  # amplitude of the class pattern on the body
    shading: float = Field(0.06, ge=0, le=0.5)
    colour_distance: float = Field(0.45, ge=0, le=1)  # RGB, from the background and from earlier bodies
    background_noise: float = Field(0.07, ge=0)
    strokes: int = Field(2, ge=0)
    pixel_noise: float = Field(0.02, ge=0)
    group_rate: float = Field(0.45, ge=0, le=1)  # pictures of touching bodies of one class
    group_counts: tuple[float, ...] = (0.72, 0.2, 0.05, 0.03)  # weights of 2, 3, 4, 5 bodies
    single_counts: tuple[float, ...] = (0.4, 0.35, 0.25)  # weights of 1, 2, 3 bodies elsewhere
    boulder_rate: float = Field(0.2, ge=0, le=1)  # pictures with a headless body of no class
    min_visible: float = Field(0.55, gt=0, le=1)  # share of every body that others leave uncovered
    context_class: int = Field(0, ge=0)
    context_rate: float = Field(0.75, ge=0, le=1)  # water given that class
    context_leak: float = Field(0.05, ge=0, le=1)  # water given any other class
    void_share: float = Field(0.01, ge=0)  # width of the void border; at least 1 pixel

    @model_validator(mode="after")
    def _agree(self):
        if self.n_train > self.n_trainaug:
            raise ValueError(
                f"n_train: {self.n_train} is more than n_trainaug {self.n_trainaug}; train is a part of trainaug"
            )
        if min(self.shape) < 32:
            raise ValueError(f"size: {self.size} is too small for a head to show its pattern; 32 pixels or more")
        for name in ("half_length", "aspect", "contrast"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: ({low}, {high}) is no range; write the smaller one first, above 0")
        if self.context_class >= self.classes:
            raise ValueError(
                f"context_class: {self.context_class} is not one of the {self.classes} classes, counted from 0"
            )
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in label order."""
        return tuple(CLASS_PATTERNS)[: self.classes]


def draw(index: int, seed: int, params: MenagerieParams, stream: str = "animals") -> Picture:
    """Picture number `index` of a stream: "animals", "salient" (one thing of other classes) or "ilso" (several of
    them).
    """
    rng = np.random.default_rng([MENAGERIE_VERSION, seed, STREAMS[stream], index])
    height, width = params.shape
    base = rng.uniform(0.15, 0.85, 3)
    canvas = background(rng, height, width, base, params)
    wanted = _wanted_animals(rng, params) if stream == "animals" else _wanted_things(rng, stream)
    scene = Scene(height, width, base)
    for label, touching in wanted:
        scene.place(rng, params, label, touching, "animal" if stream == "animals" else "polygon")
    if params.context_class in wanted_labels(wanted) and stream == "animals":
        wet = rng.uniform() < params.context_rate
    else:
        wet = stream == "animals" and rng.uniform() < params.context_leak
    if wet:
        water(rng, canvas)
    return scene.finish(rng, canvas, params, SALIENT_PATTERNS if stream != "animals" else CLASS_PATTERNS)


def wanted_labels(wanted: list[tuple[int, bool]]) -> set[int]:
    """Classes among the wanted bodies."""
    return {label for label, _ in wanted}


def _pick(rng: np.random.Generator, weights: tuple[float, ...], first: int) -> int:
    return first + int(rng.choice(len(weights), p=np.array(weights) / sum(weights)))


def _wanted_animals(rng: np.random.Generator, params: MenagerieParams) -> list[tuple[int, bool]]:
    """(label, must touch an earlier body) for every body, in painting order."""
    if rng.uniform() < params.group_rate:
        label = int(rng.integers(params.classes))
        wanted = [(label, k > 0) for k in range(_pick(rng, params.group_counts, 2))]
    else:
        pool = rng.choice(params.classes, 2, replace=False)
        count = _pick(rng, params.single_counts, 1)
        wanted = [(int(pool[rng.integers(2)]), False) for _ in range(count)]
    if rng.uniform() < params.boulder_rate:
        wanted.insert(int(rng.integers(len(wanted) + 1)), (-1, False))
    return wanted


def _wanted_things(rng: np.random.Generator, stream: str) -> list[tuple[int, bool]]:
    """One thing for the salient set, one to five (often touching) for the salient instance set."""
    count = 1 if stream == "salient" else _pick(rng, (0.25, 0.35, 0.2, 0.12, 0.08), 1)
    label = int(rng.integers(len(SALIENT_PATTERNS)))
    return [(label, k > 0 and rng.uniform() < 0.6) for k in range(count)]


def draw_set(out: Path, *, menagerie: MenagerieParams) -> None:
    """Stage: draw the whole set into `out`, in the layouts of VOC, COCO, DUTS, MSRA-B and ILSO."""
    params = menagerie
    layouts.write_version(out, MENAGERIE_VERSION, params.model_dump(mode="json"))
    counts = {"trainaug": params.n_trainaug, "val": params.n_val, "tune": params.n_tune}
    indices = [FIRST[split] + k for split, count in counts.items() for k in range(count)]
    clean = {k for k in indices if not params.n_train <= k < params.n_trainaug}
    layouts.make_voc_folders(out)
    work = partial(_draw_animals, out=out, params=params, clean=frozenset(clean))
    records = parallel(work, indices, title="drawing animals")
    layouts.finish_voc(out, records, _splits(params), params.class_names)
    if params.coco:
        layouts.write_coco(
            out, records, {"train": _splits(params)["trainaug"], "val": _splits(params)["val"]}, params.class_names
        )
    _draw_things(out, params)


def _splits(params: MenagerieParams) -> dict[str, list[str]]:
    """Picture names of every list."""
    trainaug = [layouts.voc_name(k) for k in range(params.n_trainaug)]
    other = {
        s: [layouts.voc_name(FIRST[s] + k) for k in range(n)]
        for s, n in (("val", params.n_val), ("tune", params.n_tune))
    }
    return {"train": trainaug[: params.n_train], "trainaug": trainaug, **other}


def _draw_animals(index: int, *, out: Path, params: MenagerieParams, clean: frozenset[int]) -> layouts.Record:
    """Draw and write one picture; `clean` pictures get the finer masks with a void border, the others SBD-style
    masks.
    """
    picture = draw(index, params.seed, params)
    return layouts.write_voc_picture(out, index, picture, params.class_names, params.void_share, clean=index in clean)


def _draw_things(out: Path, params: MenagerieParams) -> None:
    """The salient set of other classes (DUTS and MSRA-B layouts) and the salient instance set (ILSO layout)."""
    counts = {"TR": params.n_salient, "TE": params.n_salient_test}
    for part, first in (("TR", 0), ("TE", 400_000)):
        layouts.make_duts_folders(out, part)
        indices = list(range(first, first + counts[part]))
        parallel(
            partial(_draw_thing, out=out, params=params, part=part), indices, title=f"drawing salient things ({part})"
        )
    layouts.write_msra(out, params.n_salient, params.annotators, params.seed)
    layouts.make_ilso_folders(out)
    parallel(partial(_draw_several, out=out, params=params), list(range(params.n_ilso)), title="drawing several things")
    layouts.write_ilso_lists(out, params.n_ilso)


def _draw_thing(index: int, *, out: Path, params: MenagerieParams, part: str) -> None:
    layouts.write_duts_picture(out, part, index, draw(index, params.seed, params, "salient"))


def _draw_several(index: int, *, out: Path, params: MenagerieParams) -> None:
    layouts.write_ilso_picture(out, index, draw(index, params.seed, params, "ilso"))
