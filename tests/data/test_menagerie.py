import hashlib
import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.data.drawing import CLASS_PATTERNS, SALIENT_PATTERNS, paint
from weakseg.data.menagerie import MENAGERIE_VERSION, MenagerieParams, draw
from weakseg.data.scene import box_of, void_border, with_void


@pytest.fixture(scope="module")
def many():
    params = MenagerieParams()
    return [draw(index, 0, params) for index in range(250)]


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_bytes_with_one_and_two_workers(drawn, tmp_path, tiny):
    sizes = " ".join(
        f"{name}={getattr(tiny, name)}" for name in MenagerieParams.model_fields if name.startswith(("n_", "annot"))
    )
    command = [sys.executable, "-m", "weakseg.data", "draw"]
    for workers in "12":
        env = os.environ | {"WEAKSEG_THREADS": workers}
        arguments = [str(tmp_path / workers), "--set", "size=[60, 72]", *sizes.split()]
        subprocess.run([*command, *arguments], env=env, check=True, capture_output=True)
    assert digests(tmp_path / "1") == digests(tmp_path / "2") == digests(drawn)


@settings(max_examples=8, deadline=None)
@given(index=st.integers(0, 10**6), seed=st.integers(0, 10**6))
def test_a_picture_depends_on_seed_and_index_only(index, seed):
    few, more = MenagerieParams(size=64, n_trainaug=400), MenagerieParams(size=64, n_trainaug=9000, n_val=7)
    one, two = draw(index, seed, few), draw(index, seed, more)
    assert np.array_equal(one.image, two.image) and np.array_equal(one.instance_map, two.instance_map)
    assert not np.array_equal(one.image, draw(index + 1, seed, few).image)
    assert not np.array_equal(one.image, draw(index, seed + 1, few).image)


@settings(max_examples=12, deadline=None)
@given(index=st.integers(0, 10**5), shape=st.sampled_from([(64, 64), (128, 128), (375, 500), (97, 61)]))
def test_masks_boxes_and_labels_agree(index, shape):
    picture = draw(index, 3, MenagerieParams(size=shape))
    n = len(picture.labels)
    assert picture.image.shape == (*shape, 3) and picture.image.dtype == np.uint8
    assert n >= 1 and set(np.unique(picture.instance_map)) - {0} == set(range(1, n + 1))
    for k, (x0, y0, x1, y1) in enumerate(picture.boxes):
        mask = picture.instance_map == k + 1
        assert (x0, y0, x1, y1) == box_of(mask)
        assert set(np.unique(picture.semantic[mask])) == {picture.labels[k] + 1}
    assert np.array_equal(picture.semantic == 0, picture.instance_map == 0)
    assert np.all(picture.hidden >= 0) and np.all((picture.visible > 0) & (picture.visible <= 1))


def test_statistics_are_those_of_the_trial(many):
    counts = np.array([len(p.labels) for p in many])
    assert 1.7 < counts.mean() < 2.4 and counts.min() >= 1 and counts.max() >= 4
    assert 0.22 < np.mean([(p.instance_map > 0).mean() for p in many]) < 0.34
    assert np.all(np.bincount(np.concatenate([p.labels for p in many]), minlength=6) > 40)
    boulders = [any(b.label < 0 for b in p.bodies) for p in many]
    assert 0.1 < np.mean(boulders) < 0.3


def test_animals_of_one_class_touch_and_hide_each_other(many):
    def touching(picture):
        numbers = picture.instance_map
        for a, b in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
            pairs = np.stack([a, b])[:, (a != b) & (a > 0) & (b > 0)]
            if np.any(picture.labels[pairs[0] - 1] == picture.labels[pairs[1] - 1]):
                return True
        return False

    assert 0.3 < np.mean([touching(p) for p in many]) < 0.7
    assert np.mean([(p.hidden > 0.05).any() for p in many]) > 0.25
    assert max(p.hidden.max() for p in many) <= 1 - MenagerieParams().min_visible


def test_boulders_are_background(many):
    in_front = [p for p in many if p.bodies[-1].label < 0]
    assert len(in_front) > 10
    for picture in in_front:
        boulder = picture.bodies[-1]
        assert picture.instance_map[int(boulder.y), int(boulder.x)] == 0
        assert len(picture.labels) == sum(body.label >= 0 for body in picture.bodies)


def test_water_keeps_company_with_its_class():
    params = MenagerieParams(context_rate=1.0, context_leak=0.0, group_rate=0.0, boulder_rate=0.0)
    dry = params.model_copy(update={"context_rate": 0.0})
    for index in range(40):
        wet, same = draw(index, 1, params), draw(index, 1, dry)
        differs = not np.array_equal(wet.image, same.image)
        assert differs or 0 not in wet.labels
        assert np.array_equal(wet.instance_map, same.instance_map)


def test_only_the_head_tells_the_classes_apart():
    """With no pattern on bodies, two classes differ within the head and nowhere else."""
    body = next(b for b in draw(1, 0, MenagerieParams()).bodies if b.label >= 0)
    body = replace(body, x=64.0, y=64.0, half_length=40.0, angle=0.0, facing=1, head_shift=0.5, head_radius=0.3)
    canvases = []
    for pattern in list(CLASS_PATTERNS.values())[:2]:
        canvas = np.full((128, 128, 3), 0.5, np.float32)
        paint(canvas, body, pattern, body_pattern=0.0, shading=0.0)
        canvases.append(canvas)
    rows, columns = np.nonzero(np.abs(canvases[0] - canvases[1]).sum(2) > 1e-6)
    assert len(rows) > 100
    assert np.hypot(columns + 0.5 - 84, rows + 0.5 - 64).max() < 0.3 * 40 + 1


def test_classes_of_the_salient_set_are_others():
    assert not set(CLASS_PATTERNS) & set(SALIENT_PATTERNS)
    for index in range(20):
        assert len(draw(index, 0, MenagerieParams(), "salient").labels) == 1
    counts = [len(draw(index, 0, MenagerieParams(size=64), "ilso").labels) for index in range(60)]
    assert min(counts) == 1 and max(counts) >= 4


def test_void_border_lies_on_contours():
    numbers = np.zeros((8, 8), np.uint8)
    numbers[:, 4:] = 1
    border = void_border(numbers, 0.01)
    assert border.sum() == 8 and np.all(np.ptp(np.nonzero(border)[1]) == 0)
    assert set(np.unique(with_void(numbers, border))) == {0, 1, 255}
    assert void_border(np.repeat(np.repeat(numbers, 50, 0), 50, 1), 0.01).sum() == 400 * 4


def test_a_hundred_pictures_a_second_on_two_cores():
    params = MenagerieParams()
    draw(0, 0, params)
    seconds = []
    for first in range(0, 50, 10):
        start = time.process_time()
        for index in range(first, first + 10):
            draw(index, 0, params)
        seconds.append((time.process_time() - start) / 10)
    assert min(seconds) < 0.018  # leaves 2 ms of the 20 for writing; the best of five, since others use the machine


def test_version_is_written(drawn):
    assert f'"version": {MENAGERIE_VERSION}' in (drawn / "menagerie.json").read_text()


def test_empty_mask_has_no_box():
    with pytest.raises(ValueError, match="empty mask"):
        box_of(np.zeros((3, 3), bool))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_train": 20, "n_trainaug": 10}, "part of trainaug"),
        ({"classes": 3, "context_class": 3}, "counted from 0"),
        ({"size": 16}, "too small"),
        ({"size": (400, 20)}, "too small"),
        ({"half_length": (0.4, 0.2)}, "smaller one first"),
        ({"n_val": 400_000}, "less than or equal"),
    ],
)
def test_params_that_contradict_each_other_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        MenagerieParams(**wrong)
