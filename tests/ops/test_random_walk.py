"""The sparse walk against the dense transition of the paper, its time and its size."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from weakseg.ops import affinity, random_walk
from weakseg.ops.random_walk import propagate


def dense_transition(boundary, radius, beta):
    """T of equation 10, cell by cell."""
    H, W = boundary.shape
    affinities = np.eye(H * W)
    for y, x in np.ndindex(H, W):
        for dy, dx in affinity.offsets(radius):
            if y + dy < H and 0 <= x + dx < W:
                strongest = max(boundary[y + py, x + px] for py, px in affinity.path(dy, dx))
                i, j = y * W + x, (y + dy) * W + x + dx
                affinities[i, j] = affinities[j, i] = 1 - strongest
    powered = affinities**beta
    return powered / powered.sum(0)


def dense(scores, boundary, radius, beta, steps):
    transition = np.linalg.matrix_power(dense_transition(boundary, radius, beta), steps)
    return (scores.reshape(len(scores), -1).astype(float) @ transition).reshape(scores.shape)


@pytest.mark.parametrize(
    ("shape", "radius", "beta", "steps"),
    [((24, 17), 5, 10, 256), ((9, 30), 4, 8, 64), ((6, 6), 5, 4, 16), ((3, 2), 3, 1, 3)],
)
def test_equals_the_dense_form(shape, radius, beta, steps):
    rng = np.random.default_rng(0)
    scores, boundary = rng.random((3, *shape), np.float32), rng.random(shape, np.float32) ** 3
    expected = dense(scores, boundary, radius, beta, steps)
    found = propagate(scores, boundary, radius, beta, steps)
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-6
    assert (found.argmax(0) == expected.argmax(0)).all()


def test_the_dense_transition_averages():
    transition = dense_transition(np.random.default_rng(1).random((5, 6)), 3, 2.0)
    np.testing.assert_allclose(transition.sum(0), 1)  # columns: each cell receives a mean


def test_a_batch_is_its_pictures():
    generator = torch.Generator().manual_seed(0)
    scores, boundary = torch.rand(4, 2, 12, 15, generator=generator), torch.rand(4, 12, 15, generator=generator)
    together = propagate(scores, boundary, 4, 8, 20)
    alone = torch.stack([propagate(s, b, 4, 8, 20) for s, b in zip(scores, boundary, strict=True)])
    torch.testing.assert_close(together, alone)


def test_arrays_and_tensors():
    scores, boundary = np.random.default_rng(0).random((2, 8, 9)), np.full((8, 9), 0.5)
    out = propagate(scores, boundary, 3)
    assert isinstance(out, np.ndarray) and out.dtype == np.float64 and out.shape == scores.shape
    tensor = propagate(torch.from_numpy(scores).float(), torch.from_numpy(boundary), 3)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor, out, rtol=1e-5)


def test_constant_rows_stay_and_no_step_changes_nothing():
    boundary = torch.rand(7, 11, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(propagate(torch.full((1, 7, 11), 0.3), boundary), torch.full((1, 7, 11), 0.3))
    scores = torch.rand(2, 7, 11, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(propagate(scores, boundary, steps=0), scores)


def test_a_closed_boundary_keeps_scores_apart():
    boundary = torch.zeros(10, 20)
    boundary[:, 10] = 1
    scores = torch.zeros(1, 10, 20)
    scores[:, :, :10] = 1
    after = propagate(scores, boundary)[0]
    torch.testing.assert_close(after[:, :10], torch.ones(10, 10))
    assert after[:, 11:].abs().max() == 0


def test_scipy_walks_the_same_way(monkeypatch):
    scores, boundary = torch.rand(3, 9, 8, generator=torch.Generator().manual_seed(0)), torch.full((9, 8), 0.4)
    expected = propagate(scores, boundary, 3, 4, 30)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    torch.testing.assert_close(propagate(scores, boundary, 3, 4, 30), expected)


@pytest.mark.parametrize(
    ("scores", "boundary", "message"),
    [
        (torch.zeros(2, 5, 5), torch.zeros(5, 6), "do not fit"),
        (torch.zeros(2, 1, 5, 5), torch.zeros(3, 5, 5), "do not fit"),
        (torch.zeros(5, 5), torch.zeros(5, 5), "do not fit"),
        (torch.zeros(1, 5, 5), torch.full((5, 5), 1.5), "leave \\[0, 1\\]"),
        (torch.zeros(1, 5, 5), torch.full((5, 5), torch.nan), "leave \\[0, 1\\]"),
    ],
)
def test_refusals(scores, boundary, message):
    with pytest.raises(ValueError, match=message):
        propagate(scores, boundary, 3)


SIZE = """
import resource, time, torch
from weakseg.ops.random_walk import propagate
generator = torch.Generator().manual_seed(0)
scores, boundary = torch.rand(5, 125, 94, generator=generator), torch.rand(125, 94, generator=generator) ** 4
propagate(scores[:, :12, :12], boundary[:12, :12])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, times = peak(), []
for _ in range(4):
    began = time.process_time()
    propagate(scores, boundary)
    times.append(time.process_time() - began)
print(peak() - before, min(times))
"""


def test_a_full_picture_takes_under_a_second_and_100_mb():
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SIZE], capture_output=True, text=True, check=True, env=one_thread)
    megabytes, seconds = map(float, done.stdout.split())
    assert megabytes < 100
    assert seconds < 1  # of processor time on one thread


def test_transition_rows_are_weights_of_the_neighbours_only():
    boundary = torch.rand(1, 6, 7, generator=torch.Generator().manual_seed(0))
    matrix = random_walk.transition(random_walk.boundary_pairs(boundary, 3), 3, 2.0)
    torch.testing.assert_close(matrix.to_dense().sum(1), torch.ones(42))
    assert matrix.values().numel() == 42 + 2 * sum(
        max(0, 6 - dy) * max(0, 7 - abs(dx)) for dy, dx in affinity.offsets(3)
    )
