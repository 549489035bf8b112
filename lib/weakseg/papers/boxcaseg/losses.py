"""The losses of the joint network (BoxCaseg section 3.3), as the released code computes them and as the paper prints
them."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, logaddexp, nn

from weakseg.nets.resize import bilinear
from weakseg.ops.bags import Reduction, mil_loss, neighbour_loss, reduced
from weakseg.papers.boxcaseg.model import Scores
from weakseg.study.params import Group

Mix = Literal["logits", "probabilities"]


class LossParams(Group):
    """alpha: weight of the salient head in the fused map (the rest is the transferred head's); 0.7 on VOC, 0.6 on COCO.

    mix: what alpha mixes, logits in the released code, probabilities in equation 3. reduction: of bags and pixels, mean
    in the released code, sum in equations 1 to 3. smooth: weight of the neighbour term. bags: false leaves out all that
    the weak head learns, for the row "salient head alone".
    """

    alpha: float = Field(0.7, ge=0, le=1)
    mix: Mix = "logits"
    reduction: Reduction = "mean"
    smooth: float = Field(0.05, ge=0)
    bags: bool = True


def fused(salient: Tensor, transferred: Tensor, alpha: float, mix: Mix = "logits") -> Tensor:
    """One logit of two heads (equation 3): S = alpha S_a + (1 - alpha) S_t, of logits or of probabilities.

    Mixed probabilities come back as the logit of the mixture, log S - log(1 - S), which never leaves log space.
    """
    if mix == "logits" or alpha in (0, 1):
        return alpha * salient + (1 - alpha) * transferred
    ours, theirs = (salient.new_full((), share).log() for share in (alpha, 1 - alpha))
    yes = logaddexp(ours + F.logsigmoid(salient), theirs + F.logsigmoid(transferred))
    no = logaddexp(ours + F.logsigmoid(-salient), theirs + F.logsigmoid(-transferred))
    return yes - no


def upsampled(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits (B, h, w) at another size (H, W), bilinear: float32 (B, H, W)."""
    return bilinear(logits.float()[:, None], size)[:, 0]


def pixel_loss(logits: Tensor, mask: Tensor, reduction: Reduction) -> Tensor:
    """Binary cross entropy (equation 3) of logits (B, H, W) with masks bool (B, H, W); 0 for no picture."""
    if not len(logits):
        return logits.sum()
    each = F.binary_cross_entropy_with_logits(logits, mask.to(logits.dtype), reduction="none")
    return reduced(each, len(logits), reduction)


def joint_losses(scores: Scores, inside: Tensor, salient: Tensor, how: LossParams) -> dict[str, Tensor]:
    """The terms of equation 4, all of weight 1, and their sum "loss".

        L = L_mil + lambda L_pix,  lambda = 1 for salient pictures, else 0

    Args:
        scores: of B pictures. inside: bool (B, H, W), the filled box of a crop or the mask of a salient picture.
        salient: (S,), the places of pictures that come with a mask.
    """
    B, H, W = inside.shape
    map_ = upsampled(fused(scores.salient, scores.transferred, how.alpha, how.mix), (H, W))
    terms = {"pixel": pixel_loss(map_, inside[salient], how.reduction)}
    if how.bags:
        weak = upsampled(scores.weak, (H, W))
        terms["bags"] = mil_loss(weak, inside, how.reduction)
        terms["smooth"] = how.smooth * neighbour_loss(weak, how.reduction)
    return {"loss": sum(terms.values()), **terms}


def loss_of(how: LossParams):
    """(model, batch) -> losses, for `fit`. Batches hold picture (B, 3, H, W), inside (B, H, W), salient (S,)."""

    def losses(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return joint_losses(model(batch["picture"], batch["salient"]), batch["inside"], batch["salient"], how)

    return losses
