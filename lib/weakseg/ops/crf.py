"""Dense conditional random field (Krähenbühl and Koltun 2011): mean field over all pairs of pixels.

E(l) = sum_i u_i(l_i) + sum_{i<j} [l_i != l_j] (w1 exp(-|p_i-p_j|^2 / 2 a^2 - |I_i-I_j|^2 / 2 b^2)
                                              + w2 exp(-|p_i-p_j|^2 / 2 c^2))
"""

import numpy as np
import pydensecrf.densecrf as dcrf
from pydantic import Field
from pydensecrf.utils import unary_from_labels, unary_from_softmax

from weakseg.study.params import Group


class CrfParams(Group):
    """Weights and widths; the defaults are IRN's label CRF (10, 50 px, 5; 3, 3 px; 10 iterations, labels at 0.7)."""

    bilateral_weight: float = Field(10.0, ge=0)
    bilateral_xy: float = Field(50.0, gt=0)
    bilateral_rgb: float = Field(5.0, gt=0)
    gaussian_weight: float = Field(3.0, ge=0)
    gaussian_xy: float = Field(3.0, gt=0)
    iterations: int = Field(10, ge=1)
    label_probability: float = Field(0.7, gt=0, lt=1)


def refine(image: np.ndarray, probabilities: np.ndarray, crf: CrfParams) -> np.ndarray:
    """Mean-field marginals, float32 (K, H, W), of the picture (H, W, 3) uint8 given probabilities (K, H, W).

    Raises ValueError when the sizes differ.
    """
    unary = unary_from_softmax(np.ascontiguousarray(probabilities, np.float32))
    return _mean_field(image, unary, len(probabilities), crf)


def refine_labels(image: np.ndarray, labels: np.ndarray, classes: int, crf: CrfParams) -> np.ndarray:
    """Marginals (K, H, W) of a hard label map (H, W) of values 0..K-1, each right with `label_probability`.

    One class needs no inference: the result is 1 everywhere. Raises ValueError for a label out of range.
    """
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels: values {labels.min()}..{labels.max()} do not fit {classes} classes")
    if classes == 1:
        return np.ones((1, *labels.shape), np.float32)
    unary = unary_from_labels(labels.astype(np.int32), classes, crf.label_probability, zero_unsure=False)
    return _mean_field(image, unary, classes, crf)


def _mean_field(image: np.ndarray, unary: np.ndarray, classes: int, crf: CrfParams) -> np.ndarray:
    H, W, _ = image.shape
    if image.dtype != np.uint8:  # scaled to [0, 1] and cast, it would be black, and the CRF blind
        raise TypeError(f"picture: must be uint8, 0 to 255 (got {image.dtype})")
    if unary.shape != (classes, H * W):
        raise ValueError(f"probabilities: {unary.shape[1]} pixels for a picture of {H} x {W}")
    field = dcrf.DenseCRF2D(W, H, classes)
    field.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
    field.addPairwiseGaussian(sxy=crf.gaussian_xy, compat=crf.gaussian_weight)
    field.addPairwiseBilateral(
        sxy=crf.bilateral_xy,
        srgb=crf.bilateral_rgb,
        rgbim=np.require(image, requirements=["C", "W"]),
        compat=crf.bilateral_weight,
    )
    return np.array(field.inference(crf.iterations), np.float32).reshape(classes, H, W)


def refine_exact(image: np.ndarray, probabilities: np.ndarray, crf: CrfParams) -> np.ndarray:
    """The same marginals by the O((HW)^2) sums themselves, for pictures of up to some thousand pixels.

    Kernels are normalised symmetrically, k_ij / sqrt(sum_j k_ij sum_i k_ij), and leave the pixel itself in the sum,
    as the lattice filter of the fast version does.
    """
    K, H, W = probabilities.shape
    kernels = [crf.gaussian_weight * _kernel([(_grid(H, W), crf.gaussian_xy)])]
    colours = image.reshape(H * W, 3).astype(np.float64)
    kernels.append(crf.bilateral_weight * _kernel([(_grid(H, W), crf.bilateral_xy), (colours, crf.bilateral_rgb)]))
    unary = -np.log(np.clip(probabilities.reshape(K, H * W).astype(np.float64), 1e-5, 1))
    marginals = _softmax(-unary)
    for _ in range(crf.iterations):
        marginals = _softmax(-unary + marginals @ sum(kernels))  # Potts: agreement lowers the energy
    return marginals.reshape(K, H, W).astype(np.float32)


def _grid(height: int, width: int) -> np.ndarray:
    return np.stack(np.mgrid[:height, :width], -1).reshape(-1, 2).astype(np.float64)


def _kernel(features: list[tuple[np.ndarray, float]]) -> np.ndarray:
    squared = sum(np.square((f[:, None] - f[None]) / width).sum(-1) for f, width in features)
    kernel = np.exp(-squared / 2)
    scale = 1 / np.sqrt(kernel.sum(1))
    return kernel * scale[:, None] * scale[None]


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(0))
    return raised / raised.sum(0)
