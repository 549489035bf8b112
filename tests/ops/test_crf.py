"""The fast dense CRF against the quadratic sums, and its refusals."""

import numpy as np
import pytest

from weakseg.ops.crf import CrfParams, refine, refine_exact, refine_labels

NARROW = CrfParams(bilateral_weight=4, bilateral_xy=6, bilateral_rgb=20, gaussian_weight=2, gaussian_xy=2, iterations=5)


def scene(size=16, noise=6):
    """A bright square on dark ground, its mask, and a poor probability of it."""
    rng = np.random.default_rng(0)
    mask = np.zeros((size, size), bool)
    mask[4:12, 5:13] = True
    image = np.where(mask[..., None], 190, 60) + rng.normal(0, noise, (size, size, 3))
    object_ = np.clip(np.where(mask, 0.62, 0.38) + rng.normal(0, 0.15, mask.shape), 0.05, 0.95)
    return image.clip(0, 255).astype(np.uint8), mask, np.stack([1 - object_, object_]).astype(np.float32)


def test_the_exact_form_agrees_with_the_fast_one():
    image, mask, probabilities = scene()
    fast, exact = refine(image, probabilities, NARROW), refine_exact(image, probabilities, NARROW)
    assert (fast.argmax(0) == exact.argmax(0)).mean() > 0.97
    assert np.abs(fast - exact).mean() < 0.05  # the fast filter is an approximation


def test_one_step_of_the_exact_form_by_hand():
    # Two pixels of one colour, two labels; only the Gaussian kernel, k_01 = exp(-1 / 2), normalised by (1 + k_01).
    crf = CrfParams(bilateral_weight=0, gaussian_weight=1, gaussian_xy=1, iterations=1)
    found = refine_exact(np.zeros((1, 2, 3), np.uint8), np.array([[[0.8, 0.4]], [[0.2, 0.6]]]), crf)
    k = np.exp(-0.5)
    support = np.array([0.8 + 0.4 * k, 0.2 + 0.6 * k]) / (1 + k)
    raised = np.array([0.8, 0.2]) * np.exp(support)
    np.testing.assert_allclose(found[:, 0, 0], raised / raised.sum(), rtol=1e-6)


def test_marginals_sum_to_one_and_improve_the_mask():
    image, mask, probabilities = scene()
    refined = refine(image, probabilities, NARROW)
    np.testing.assert_allclose(refined.sum(0), 1, atol=1e-4)
    assert ((refined.argmax(0) == 1) == mask).mean() > ((probabilities.argmax(0) == 1) == mask).mean()


def test_hard_labels():
    image, mask, _ = scene()
    wrong = mask.astype(int)
    wrong[6:8, 6:8] = 0
    refined = refine_labels(image, wrong, 2, NARROW)
    assert refined.shape == (2, 16, 16)
    assert ((refined.argmax(0) == 1) == mask).all()


def test_a_single_class_needs_no_inference():
    image, _, _ = scene()
    assert (refine_labels(image, np.zeros((16, 16), int), 1, NARROW) == 1).all()


def test_a_read_only_picture_is_taken():
    image, _, probabilities = scene()
    image.flags.writeable = False
    assert refine(image, probabilities, NARROW).shape == (2, 16, 16)


def test_refusals():
    image, _, probabilities = scene()
    with pytest.raises(ValueError, match="do not fit 2 classes"):
        refine_labels(image, np.full((16, 16), 2), 2, NARROW)
    with pytest.raises(ValueError, match="for a picture of 15 x 16"):
        refine(image[1:], probabilities, NARROW)
    with pytest.raises(TypeError, match=r"picture: must be uint8, 0 to 255 \(got float32\)"):
        refine(image.astype(np.float32) / 255, probabilities, NARROW)
