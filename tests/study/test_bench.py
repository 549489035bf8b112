"""The bench: every part of a step is timed, operations are counted, and nothing of the engine stays replaced."""

import json

import pytest
import torch

from weakseg.data.sets import DataParams
from weakseg.nets import backbones
from weakseg.study import bench, plan, train, work


@pytest.fixture(scope="module")
def found():
    before = train.fit, backbones.find_weights
    steps = bench.bench(["irn"], "toy", steps=2)
    assert (train.fit, backbones.find_weights) == before
    return {step.stage: step for step in steps}


def test_every_training_and_network_of_the_paper_is_measured(found):
    wanted = {"classifier.train_classifier", "classifier.make_cams", "stages.train_irnet", "stages.make_fields"}
    wanted |= {f"{net}.{what}_{net}" for net in ("deeplab", "mask_rcnn") for what in ("train", "predict")}
    assert wanted <= found.keys() and not any("affinitynet" in stage for stage in found)
    assert [step.why for step in found.values() if step.why] == []


@pytest.mark.parametrize(("profile", "size"), [("toy", (64, 64)), ("demo", (128, 128)), ("paper", (375, 500))])
def test_the_pictures_are_as_large_as_the_profile_s(profile, size):
    few = bench._few(plan.values(plan.Run("irn", "ablations", profile))["data"])
    drawn = DataParams.model_validate(few["data"]).menagerie
    assert drawn.shape == size and drawn.n_trainaug == 64


def test_a_precision_is_that_of_every_network():
    for precision, wanted in ((None, {"fp32"}), ("bf16", {"bf16"})):
        _, stages = bench._wanted("irn", "toy", precision)
        assert {work.precision(one.plan["params"]) for one in stages if ".train_" in one.name} == wanted
    with pytest.raises(ValueError, match="precision.*fp16"):
        bench._wanted("irn", "toy", "fp16")


def test_a_training_step_falls_into_its_parts(found):
    step = found["classifier.train_classifier"]
    assert list(step.seconds) == list(bench.PARTS) and all(seconds > 0 for seconds in step.seconds.values())
    assert 0 < step.share_of_peak < 1 and step.memory > 100
    # Backbone and head, three times forward, less the gradient of the first layer's input.
    planned = 3 * work.cost("tiny", 8, False).flops * step.pictures * 64**2
    assert 0.8 * planned < step.flops <= 1.05 * planned


def test_tables_and_files_show_the_same_steps(found, tmp_path, monkeypatch):
    monkeypatch.setenv("WEAKSEG_OUTPUTS", str(tmp_path))
    steps = list(found.values())
    lines = json.loads(bench.save(steps, "toy").read_text())
    assert [line["stage"] for line in lines] == list(bench.table(steps)["stage"])
    assert lines[0]["flops_a_second"] == pytest.approx(steps[0].flops / sum(steps[0].seconds.values()))


def test_what_cannot_run_is_said_in_a_line():
    broken = bench.Step("irn", "a.train_b", why="ValueError: no")
    assert bench.table([broken]).iloc[0]["why not"] == "ValueError: no"


def test_the_peak_is_that_of_a_large_product():
    torch.set_num_threads(1)
    assert 1e9 < bench.peak("fp32") < 1e13
