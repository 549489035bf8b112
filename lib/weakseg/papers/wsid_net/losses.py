"""What the boundary and the centroid branch learn from: relations of pairs, and the number of salient instances."""

import torch
from torch import Tensor, nn

from weakseg.ops.counts import kmeans_loss, soft_count_loss, straight_through_loss
from weakseg.ops.pair_losses import grid_labels, irn_loss
from weakseg.papers.wsid_net.params import CountParams, WsidParams


def count_loss(displacement: Tensor, region: Tensor, counts: Tensor, count: CountParams) -> Tensor:
    """L_SU = MSE(t, t*) by the surrogate of `count` (section 3.1, equation 1).

    displacement: (B, 2, h, w); region: bool (B, h, w), predicted salient; counts: int (B,).
    """
    with torch.autocast(displacement.device.type, enabled=False):  # coordinates do not fit into bfloat16
        inputs = displacement.float(), region, counts
        if count.surrogate == "soft":
            return soft_count_loss(*inputs, count.width, count.most)
        if count.surrogate == "kmeans":
            return kmeans_loss(*inputs, count.position, count.most)
        return straight_through_loss(*inputs, count.weak, count.share, count.iterations)


def wsid_loss(wsid: WsidParams, model: nn.Module, batch: dict) -> dict[str, Tensor]:
    """Losses of a batch: those of pairs (IRN equations 7 to 9) on tagged pictures, L_SU on counted ones.

    Each branch has its own loss; only the backbone and the attention that they share see both.
    """
    pairs, labels = batch["picture"], grid_labels(batch["labels"])
    n = len(pairs)
    counted = batch["counted"][: wsid.count.batch_size] if wsid.count else pairs[:0]
    logits, displacement = model(torch.cat([pairs, counted]))
    weights = wsid.boundary_weight, wsid.centroid_weight
    losses = irn_loss(logits[:n].float(), displacement[:n].float(), labels, wsid.radius, *weights)
    if wsid.count is None:
        return losses
    region, counts = (batch[key][: wsid.count.batch_size] for key in ("region", "count"))
    subitizing = count_loss(displacement[n:], grid_labels(region) == 1, counts, wsid.count)
    return {**losses, "loss": losses["loss"] + wsid.count.weight * subitizing, "subitizing": subitizing}
