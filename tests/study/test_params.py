"""Parameter groups: what they accept, and the one line that they answer to a mistake."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from weakseg.study import params
from weakseg.study.params import Group, canonical, load


class Crop(Group):
    size: int = Field(64, gt=0)
    scales: tuple[float, ...] = (0.5, 1.0)


class Classifier(Group):
    lr: float = Field(0.1, gt=0, lt=10)
    epochs: int = 6
    precision: Literal["fp32", "bf16"] = "fp32"
    weights: str | None = None
    crop: Crop = Crop()


class Run(Group):
    profile: str
    seeds: tuple[int, ...] = (0,)
    classifier: Classifier = Classifier()
    extra: Crop | None = None
    stages: tuple[tuple[float, float], ...] = ()


@pytest.fixture
def write(tmp_path):
    def written(text: str) -> Path:
        file = tmp_path / "irn.yaml"
        file.write_text(text)
        return file

    return written


def test_a_file_becomes_frozen_typed_groups(write):
    text = "profile: toy\nseeds: [0, 1]\nclassifier: {lr: 1, crop: {scales: [1, 2.5]}}\nstages: [[0, 1]]"
    run = load(Run, write(text))
    assert run.seeds == (0, 1)
    assert type(run.classifier.lr) is float and run.classifier.lr == 1.0
    assert run.classifier.crop.scales == (1.0, 2.5) and run.stages == ((0.0, 1.0),)
    with pytest.raises(ValueError, match="frozen"):
        run.classifier.lr = 2.0


MESSAGES = {
    "profile: toy\nclasifier: {lr: 1}": "clasifier: unknown key; did you mean 'classifier'?",
    "profile: toy\nclassifier: {momentum: 1, lr: 1}": (
        "classifier.momentum: unknown key; valid: lr, epochs, precision, weights, crop"
    ),
    "profile: toy\nclassifier: {crop: {sise: 3}}": "classifier.crop.sise: unknown key; did you mean 'size'?",
    "profile: toy\nextra: {scale: [1]}": "extra.scale: unknown key; did you mean 'scales'?",
    "seeds: [1]": "profile: missing; give it a value",
    "profil: toy": "profil: unknown key; did you mean 'profile'? (and 1 more)",
    "profile: toy\nclassifier: {lr: 1e-3}": (
        "classifier.lr: should be a valid number (got '1e-3'); write 0.001 (yaml reads 1e-3 as text)"
    ),
    "profile: toy\nclassifier: {lr: 0}": "classifier.lr: should be greater than 0 (got 0)",
    "profile: toy\nclassifier: {epochs: 2.5}": "classifier.epochs: should be a valid integer (got 2.5)",
    "profile: toy\nclassifier: {epochs: true}": "classifier.epochs: should be a valid integer (got True)",
    "profile: toy\nclassifier: {precision: bf-16}": (
        "classifier.precision: should be 'fp32' or 'bf16' (got 'bf-16'); did you mean 'bf16'?"
    ),
    "profile: toy\nseeds: 3": "seeds: should be a valid tuple (got 3)",
    "profile: toy\nseeds: [1, x]": "seeds.1: should be a valid integer (got 'x')",
    "profile: toy\nclassifier: 3": "classifier: should be a valid dictionary or instance of Classifier (got 3)",
}


@pytest.mark.parametrize("text", MESSAGES)
def test_a_mistake_is_one_line_with_file_key_and_mend(text, write):
    file = write(text)
    with pytest.raises(ValueError) as caught:
        load(Run, file)
    assert str(caught.value) == f"{file}: {MESSAGES[text]}"


def test_broken_files_are_one_line_too(write, tmp_path):
    for text, said in {
        "profile: toy\nseeds: [0]\nseeds: [1]": "line 3: key 'seeds' is given twice",
        "classifier:\n  lr: 1\n  lr: 2": "line 3: key 'lr' is given twice",
        "- a\n- b": "must hold groups as 'name: value' lines (got ['a', 'b'])",
        "": "must hold groups as 'name: value' lines (got None)",
        "a: !!python/object/apply:os.system [ls]": "line 1: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system'",
    }.items():
        file = write(text)
        with pytest.raises(ValueError) as caught:
            load(Run, file)
        assert str(caught.value) == f"{file}: {said}"
    with pytest.raises(FileNotFoundError) as caught:
        load(Run, tmp_path / "imn.yaml")
    assert str(caught.value) == f"{tmp_path / 'imn.yaml'}: no such params file; did you mean 'irn.yaml'?"


def test_yaml_merge_keys_and_anchors_still_work(write):
    run = load(Run, write("profile: toy\nextra: &small {size: 8}\nclassifier:\n  crop: {<<: *small, scales: [1]}"))
    assert run.classifier.crop == Crop(size=8, scales=(1.0,))


def test_overrides_nested_and_dotted_lie_over_the_file(write):
    file = write("profile: toy\nclassifier: {lr: 0.5, crop: {size: 9}}")
    dotted = load(Run, file, {"classifier.lr": 2, "classifier.crop.size": 7, "seeds": [4]})
    assert dotted == load(Run, file, {"classifier": {"lr": 2, "crop": {"size": 7}}, "seeds": [4]})
    assert (dotted.classifier.lr, dotted.classifier.crop.size, dotted.seeds) == (2.0, 7, (4,))
    with pytest.raises(ValueError, match="classifier.lrr: unknown key; did you mean 'lr'"):
        load(Run, file, {"classifier.lrr": 2})


def test_a_group_made_in_python_obeys_the_same_rules():
    assert Crop(scales=[1, 2]) == Crop(scales=(1.0, 2.0))
    with pytest.raises(ValueError, match="extra_forbidden"):
        Crop(skale=1)


def test_canonical_sees_content_only():
    assert canonical(Classifier(lr=1)) == canonical(Classifier(lr=1.0))
    assert canonical({"b": (1, 2), "a": None}) == {"a": None, "b": [1, 2]}
    assert list(canonical({"b": 1, "a": 2})) == ["a", "b"]
    assert canonical(np.float64(0.25)) == 0.25 and type(canonical(np.int64(3))) is int
    assert canonical(Run(profile="toy"))["classifier"]["crop"] == {"scales": [0.5, 1.0], "size": 64}


@pytest.mark.parametrize("value", [Path("x"), {"deep": [Path("x")]}])
def test_canonical_refuses_a_path_and_names_the_way(value):
    with pytest.raises(TypeError, match=r"got PosixPath\); pass a folder as external\(path\)"):
        canonical(value)


def test_canonical_refuses_what_has_no_content():
    for value in (np.zeros(3), print, {1, 2}):
        with pytest.raises(TypeError, match="plain value or a params group"):
            canonical(value)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(plain)
def test_canonical_is_idempotent(value):
    assert canonical(canonical(value)) == canonical(value)


def test_flat_names_every_leaf():
    assert list(params.flat({"a": {"b": 1, "c": {"d": [2]}}, "e": None})) == [("a.b", 1), ("a.c.d", [2]), ("e", None)]
