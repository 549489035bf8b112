"""On a graphics card: kernels against the CPU's results, trainings that repeat themselves. Skipped without one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from weakseg.nets.resize import bilinear
from weakseg.nets.roi_pool import roi_align
from weakseg.ops.affinity import path_maxima
from weakseg.ops.bags import mil_loss
from weakseg.ops.displacement import end_points
from weakseg.ops.pair_losses import irn_loss
from weakseg.ops.random_walk import propagate
from weakseg.study.train import fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")


def drawn(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def on_both(function, *values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return function(*values), function(*(value.cuda() for value in values)).cpu()


def gradients(loss, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found = []
    for device in ("cpu", "cuda"):
        leaf = value.detach().clone().to(device).requires_grad_()
        loss(leaf).backward()
        found.append(leaf.grad.cpu())
    return found[0], found[1]


def test_the_random_walk_of_several_pictures_and_rows():
    cpu, gpu = on_both(propagate, drawn(3, 5, 41, 33), drawn(3, 41, 33))
    torch.testing.assert_close(gpu, cpu, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("radius", [5, 10])
def test_path_maxima_and_their_gradient(radius):
    boundary = (8 * drawn(2, 40, 36)).round() / 8  # equal cells on one path: the first takes the gradient
    weights = drawn(*path_maxima(boundary, radius).shape)
    cpu, gpu = on_both(lambda field: path_maxima(field, radius), boundary)
    assert torch.equal(gpu, cpu)
    cpu, gpu = gradients(lambda field: (path_maxima(field, radius) * weights.to(field.device)).sum(), boundary)
    torch.testing.assert_close(gpu, cpu, rtol=1e-4, atol=1e-4)


def test_the_losses_of_pairs_never_wait_for_the_card():
    labels = (4 * drawn(2, 40, 44)).long().cuda()
    logits, displacement = (drawn(*shape).cuda().requires_grad_() for shape in ((2, 40, 44), (2, 2, 40, 44)))
    irn_loss(logits, displacement, labels, 10)["loss"].backward()  # brings the numbers of cells to the card
    torch.cuda.set_sync_debug_mode("error")
    try:
        irn_loss(logits, displacement, labels, 10)["loss"].backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_displacements_lead_to_the_same_cells():
    # Smooth fields with clear centres: where paths part within rounding, two devices may part too.
    ys, xs = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    fields = torch.stack([torch.stack([(y - ys) / 6, (x - xs) / 6]) for y, x in ((9, 11), (20.4, 30.2))])
    cpu, gpu = on_both(end_points, fields)
    assert torch.equal(gpu, cpu) and cpu[1].unique().tolist() == [20, 30]


def test_bags_and_their_gradient():
    logits, inside = drawn(4, 32, 48) * 6 - 3, drawn(4, 32, 48) > 0.9
    cpu, gpu = on_both(mil_loss, logits, inside)
    torch.testing.assert_close(gpu, cpu)
    cpu, gpu = gradients(lambda values: mil_loss(values, inside.to(values.device)), logits)
    torch.testing.assert_close(gpu, cpu)


@pytest.fixture
def strict():
    """The mode that a training asks for."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def test_regions_are_pooled_without_a_copy_for_every_sample(strict):
    corner = 60 * drawn(2000, 2)
    rois = torch.cat([torch.zeros(2000, 1), corner, corner + 4 + 14 * drawn(2000, 2)], 1)
    torch.cuda.reset_peak_memory_stats()
    cpu, gpu = on_both(lambda maps, boxes: roi_align(maps, boxes, 7, 1.0, 2, aligned=True), drawn(1, 64, 80, 80), rois)
    torch.testing.assert_close(gpu, cpu)
    assert torch.cuda.max_memory_allocated() < 200e6


def test_maps_are_resized_with_the_same_gradient_every_time(strict):
    maps, weights = drawn(2, 5, 20, 17), drawn(2, 5, 80, 68)
    cpu, gpu = on_both(lambda values: bilinear(values, (80, 68)), maps)
    torch.testing.assert_close(gpu, cpu)
    found = [gradients(lambda v: (bilinear(v, (80, 68)) * weights.to(v.device)).sum(), maps) for _ in range(2)]
    torch.testing.assert_close(found[0][1], found[0][0])
    assert torch.equal(found[0][1], found[1][1])


# ---------------------------------------------------------------- training


class Colours:
    """Pictures of noise around a colour, and which of three it is."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        noise = torch.from_numpy(np.random.default_rng(draw).random((3, 32, 32), np.float32))
        picture = noise + torch.eye(3)[index % 3, :, None, None]
        return {"name": str(index), "picture": picture, "label": torch.tensor(index % 3)}


def train(out: Path, workers: int | None, precision: str = "bf16") -> tuple[pd.DataFrame, torch.device]:
    out.mkdir()
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 3, 3)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    optimiser = torch.optim.AdamW(model.parameters(), 0.01)

    def loss_of(model, batch):
        return {"loss": nn.functional.cross_entropy(model(batch["picture"]).float(), batch["label"])}

    how = {"out": out, "seed": 0, "epochs": 3, "batch_size": 16, "log_every": 1, "precision": precision}
    log = fit(model, Colours(), loss_of, optimiser, workers=workers, **how)
    return log, next(model.parameters()).device


def test_the_same_seed_gives_the_same_losses_for_any_number_of_loading_processes(tmp_path):
    logs = [train(tmp_path / str(number), workers)[0] for number, workers in enumerate((None, None, 0, 3))]
    assert logs[0]["loss"].iloc[-1] < logs[0]["loss"].iloc[0]
    for log in logs[1:]:
        pd.testing.assert_frame_equal(log, logs[0], check_exact=True)


def test_training_on_the_card_follows_the_one_on_the_cpu(tmp_path, monkeypatch):
    gpu, there = train(tmp_path / "gpu", 0, "fp32")
    monkeypatch.setenv("WEAKSEG_DEVICE", "cpu")
    cpu, here = train(tmp_path / "cpu", 0, "fp32")
    assert (there.type, here.type) == ("cuda", "cpu")
    np.testing.assert_allclose(gpu["loss"], cpu["loss"], rtol=0.02)
