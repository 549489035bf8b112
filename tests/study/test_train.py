"""Training: the same bytes after a kill, the same samples for any worker count, and what stops it."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from weakseg.study import checkpoint
from weakseg.study.samples import order_of
from weakseg.study.stages import Store
from weakseg.study.train import fit, poly

HERE = Path(__file__).parent


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import engine_stages

    return engine_stages


def settings(out: Path, **more) -> dict:
    return {"out": out, "seed": 0, "epochs": 2, "batch_size": 8, "log_every": 3} | more


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr, momentum=0.9)


def run(root: Path, call: str, **environment: str) -> subprocess.Popen:
    script = f"import engine_stages as toy\nfrom weakseg.study.stages import Store\nStore({str(root)!r})({call})"
    variables = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen([sys.executable, "-c", script], env=variables, start_new_session=True)


# ---------------------------------------------------------------- kills


def test_killed_at_any_moment_it_ends_with_the_same_bytes(toy, tmp_path):
    call = {"classifier": toy.Classifier(epochs=10), "seed": 1, "pause": 0.003}
    whole = Store(tmp_path / "whole")(toy.train_points, **call)
    store = Store(tmp_path / "killed")
    folder = store.folder(store.plan(toy.train_points, **call))
    saved = folder.with_name(f"{folder.name}.partial") / "checkpoint.pt"
    for minimum in (5, 30):  # steps: in the first epochs, then further on from the first kill
        process = run(store.root, "toy.train_points, classifier=toy.Classifier(epochs=10), seed=1, pause=0.003")
        while not saved.exists() or torch.load(saved, weights_only=True)["step"] < minimum:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not folder.exists()
    again = store(toy.train_points, **call)
    for name in ("model.safetensors", "log.csv"):
        assert (again / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(path.name for path in again.path.iterdir()) == ["log.csv", "model.safetensors", "record.json"]


@pytest.mark.parametrize("stop_at", [3, 6, 7, 11])
def test_stopped_at_a_step_and_resumed_in_process(toy, tmp_path, stop_at):
    def train_once(out, loss_of):
        model = toy.network()
        optimiser = torch.optim.AdamW(
            [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[4].parameters()}], 0.01
        )
        more = {"epochs": None, "steps": 17, "checkpoint_seconds": 0.0}
        return model, fit(model, toy.Points(), loss_of, optimiser, **settings(out, **more))

    def stopping(model, batch):
        stopping.calls += 1
        if stopping.calls > stop_at:
            raise KeyboardInterrupt
        return toy.loss_of(model, batch)

    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    model, log = train_once(tmp_path / "whole", toy.loss_of)
    stopping.calls = 0
    with pytest.raises(KeyboardInterrupt):
        train_once(tmp_path / "stopped", stopping)
    resumed, log_again = train_once(tmp_path / "stopped", toy.loss_of)
    pd.testing.assert_frame_equal(log, log_again, check_exact=True)
    for left, right in zip(model.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(left, right)


def test_a_checkpoint_of_another_training_is_refused(toy, tmp_path):
    def interrupted(model, batch):
        if (tmp_path / "checkpoint.pt").exists():
            raise KeyboardInterrupt
        return toy.loss_of(model, batch)

    model = toy.network()
    with pytest.raises(KeyboardInterrupt):
        fit(model, toy.Points(), interrupted, sgd(model), **settings(tmp_path, checkpoint_seconds=0.0))
    with pytest.raises(ValueError, match=r"checkpoint.pt: is of another training .* delete it to start anew"):
        fit(model, toy.Points(), toy.loss_of, sgd(model), **settings(tmp_path, seed=5))


# ---------------------------------------------------------------- what it computes


def test_it_is_plain_sgd_with_the_schedule(toy, tmp_path):
    model, twin = toy.network(dropout=0.0), toy.network(dropout=0.0)
    log = fit(model, toy.Points(), toy.loss_of, sgd(model), **settings(tmp_path, log_every=1, lr_at=poly(0.9)))
    optimiser, twin_losses = sgd(twin), []
    twin.train()
    points, order = toy.Points(), order_of(53, 8, 2, None, 0)
    for step, keys in enumerate(order.samples(0)):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 12) ** 0.9
        samples = [points[key] for key in keys]
        loss = toy.loss_of(twin, {name: torch.stack([one[name] for one in samples]) for name in "xy"})["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        twin_losses.append(loss.item())
    assert list(log.columns) == ["step", "epoch", "lr", "loss", "accuracy", "gradient_norm"]
    assert log["loss"].tolist() == pytest.approx(twin_losses, rel=1e-6)  # one pass over all parameters rounds otherwise
    assert log["epoch"].tolist() == [0] * 6 + [1] * 6 and log["step"].tolist() == list(range(1, 13))
    for ours, plain in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
    assert not model.training and not (tmp_path / "checkpoint.pt").exists()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "log.csv"), log)


def test_a_head_may_have_its_first_gradient_in_a_later_step_than_others(toy, tmp_path):
    torch.manual_seed(0)
    model, plain, seen = toy.Heads(), toy.Heads(), []
    plain.load_state_dict(model.state_dict())

    def loss_of(model, batch):
        seen.append(batch)
        return toy.loss_of(model, batch)

    fit(model, toy.Points(), loss_of, sgd(model), **settings(tmp_path, epochs=None, steps=7, lr_at=lambda p: 1.0))
    optimiser = torch.optim.SGD(plain.parameters(), 0.1, momentum=0.9, foreach=False)
    for batch in seen:
        optimiser.zero_grad()
        toy.loss_of(plain, batch)["loss"].backward()
        optimiser.step()
    assert len(seen) == 7
    torch.testing.assert_close(dict(model.state_dict()), dict(plain.state_dict()))


def test_rows_are_means_between_log_steps_and_at_the_end_of_an_epoch(toy, tmp_path):
    model, other = toy.network(), toy.network()
    (tmp_path / "a").mkdir()
    each = fit(model, toy.Points(), toy.loss_of, sgd(model), **settings(tmp_path, log_every=1))
    some = fit(other, toy.Points(), toy.loss_of, sgd(other), **settings(tmp_path / "a", log_every=4))
    assert some["step"].tolist() == [4, 6, 8, 12]
    assert some["loss"].tolist() == pytest.approx(
        [each["loss"][a:b].mean() for a, b in ((0, 4), (4, 6), (6, 8), (8, 12))]
    )


def test_clip_bounds_the_gradient_and_logs_what_it_was(toy, tmp_path):
    model = toy.network(dropout=0.0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    more = {"epochs": None, "steps": 1, "clip": 1e-3}
    log = fit(model, toy.Points(), toy.loss_of, torch.optim.SGD(model.parameters(), 1.0), **settings(tmp_path, **more))
    moved = torch.cat([(now - then).flatten() for now, then in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3) and log["gradient_norm"][0] > 0.01


def test_workers_change_nothing(toy, tmp_path):
    models = []
    for workers in (0, 2):
        models.append(toy.network())
        (tmp_path / str(workers)).mkdir()
        fit(
            models[-1], toy.Points(), toy.loss_of, sgd(models[-1]), **settings(tmp_path / str(workers), workers=workers)
        )
    assert (tmp_path / "0/log.csv").read_bytes() == (tmp_path / "2/log.csv").read_bytes()
    pairs = zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)


def test_bf16_trains_and_keeps_fp32_weights(toy, tmp_path):
    model = toy.network()
    log = fit(model, toy.Points(), toy.loss_of, sgd(model), **settings(tmp_path, epochs=12, precision="bf16"))
    assert log["loss"].iloc[-1] < log["loss"].iloc[0] and {p.dtype for p in model.parameters()} == {torch.float32}


# ---------------------------------------------------------------- what stops it


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_what_is_not_finite_stops_with_the_names_of_its_pictures(toy, tmp_path, broken):
    def loss_of(model, batch):
        loss_of.step += 1
        losses = toy.loss_of(model, batch)
        if loss_of.step == 5:
            zero = 0 * losses["loss"]
            losses["loss"] = losses["loss"] + (zero / zero if broken == "loss" else torch.sqrt(zero))
        return losses

    loss_of.step = 0
    model = toy.network()
    with pytest.raises(FloatingPointError) as caught:
        fit(model, toy.Points(), loss_of, sgd(model), **settings(tmp_path, log_every=6))
    names = [f"point{index}" for index, _ in list(order_of(53, 8, 2, None, 0).samples(0))[4]]
    said = re.fullmatch(
        r"training: loss (\S+), gradient norm nan at step 5 with pictures (.*); look at .*", str(caught.value)
    )
    assert said[2].split(", ") == names and math.isnan(float(said[1])) == (broken == "loss")
    assert not (tmp_path / "log.csv").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"epochs": None}, "give epochs or steps, one of the two (got epochs=None, steps=None)"),
        ({"steps": 3}, "give epochs or steps, one of the two (got epochs=2, steps=3)"),
        ({"epochs": 0}, "give epochs or steps, one of the two (got epochs=0, steps=None)"),
        ({"batch_size": 0}, "needs pictures and a batch size of 1 or more (got 53 and 0)"),
        ({"precision": "fp16"}, "precision must be 'fp32' or 'bf16' (got 'fp16')"),
    ],
)
def test_impossible_settings_are_one_line(toy, tmp_path, more, said):
    model = toy.network()
    with pytest.raises(ValueError) as caught:
        fit(model, toy.Points(), toy.loss_of, sgd(model), **settings(tmp_path, **more))
    assert str(caught.value) == f"training: {said}"


def test_samples_without_names_are_refused(toy, tmp_path):
    class Nameless(toy.Points):
        def __getitem__(self, key):
            return {name: value for name, value in super().__getitem__(key).items() if name != "name"}

    model = toy.network()
    with pytest.raises(ValueError, match=r"Nameless must give each sample's 'name' \(got \['x', 'y'\]\)"):
        fit(model, Nameless(), toy.loss_of, sgd(model), **settings(tmp_path))


def test_the_device_is_not_waited_for_between_log_steps(toy, tmp_path, monkeypatch):
    """Only Log.flush reads values: a loss tensor's item() or cpu() in between would stall a GPU every step."""
    reads = []
    for name in ("item", "cpu", "tolist", "__float__", "__bool__"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda self, *a, real=real, **k: (reads.append(1), real(self, *a, **k))[1]
        )
    flushes = []
    real_flush = checkpoint.Log.flush

    def flush(log, *arguments):
        outside = len(reads)
        note = real_flush(log, *arguments)
        flushes.append(outside)
        reads.clear()
        return note

    monkeypatch.setattr(checkpoint.Log, "flush", flush)
    model = toy.network()
    fit(model, toy.Points(), toy.loss_of, sgd(model), **settings(tmp_path))
    assert flushes == [1, 0, 0, 0]  # the one: DataLoader draws its workers' seed, once and on the CPU
