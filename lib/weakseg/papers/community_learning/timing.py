"""Where the time of a training step goes."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from weakseg.data.sets import open_set
from weakseg.data.weak import TagView
from weakseg.nets.proposal_samples import ProposalSamples, collate_proposals
from weakseg.papers.community_learning import recipe
from weakseg.papers.community_learning.losses import community_losses
from weakseg.papers.community_learning.model import CommunityNet, build_community
from weakseg.study.machine import autocast, device
from weakseg.study.session import Session

PARTS = ("shared features", "last stage", "IMG", "IS", "pooling and losses", "backward")


class _Watch:
    """Adds up the seconds that a module's forward takes."""

    def __init__(self) -> None:
        self.seconds, self.began = 0.0, 0.0

    def start(self, *_: object) -> None:
        self.began = now()

    def stop(self, *_: object) -> None:
        self.seconds += now() - self.began


def now() -> float:
    """Seconds, once the GPU (if there is one) has finished what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def step_times(
    model: CommunityNet, losses: Callable[[nn.Module, dict], dict[str, Tensor]], batch: dict, repeats: int = 3
) -> dict[str, float]:
    """Milliseconds of each of `PARTS` in one step, forward and backward, averaged over `repeats` after a first one.

    losses: as `fit` takes it. The optimiser's own step is left out.
    """
    modules = {"shared features": model.detector.backbone, "last stage": model.detector.last}
    modules |= {name: part for name, part in (("IMG", model.img), ("IS", model.seg)) if part is not None}
    losses(model, batch)["loss"].backward()
    watches = {name: _Watch() for name in modules}
    with ExitStack() as stack:
        for name, module in modules.items():
            for handle in (
                module.register_forward_pre_hook(watches[name].start),
                module.register_forward_hook(watches[name].stop),
            ):
                stack.callback(handle.remove)
        forward, whole = _run(model, losses, batch, repeats)
    seconds = {name: watch.seconds for name, watch in watches.items()}
    seconds |= {"pooling and losses": forward - sum(seconds.values()), "backward": whole - forward}
    return {name: 1000 * seconds.get(name, 0.0) / repeats for name in PARTS}


def _run(model: CommunityNet, losses: Callable, batch: dict, repeats: int) -> tuple[float, float]:
    """Seconds of `repeats` forward passes, and of them with their backward passes."""
    forward, began = 0.0, now()
    for _ in range(repeats):
        start = now()
        loss = losses(model, batch)["loss"]
        forward += now() - start
        loss.backward()
    model.zero_grad(set_to_none=True)
    return forward, now() - began


def with_proposals(sample: dict, count: int) -> dict:
    """A training sample with exactly `count` proposals: its own, again and again or cut off."""
    again = torch.arange(count) % len(sample["boxes"])
    return {**sample, "boxes": sample["boxes"][again]}


def measured_step(s: Session, seed: int, pictures: int, proposals: int) -> dict[str, float]:
    """`step_times` of the params' network, untrained, on the first training pictures with so many proposals each."""
    p, view = s.params, TagView(open_set(recipe.pictures(s), s.params.data, "trainaug"))
    torch.manual_seed(seed)
    place, how = device(), p.training
    model = build_community(p.detector, p.img, p.seg, len(view.classes)).to(place).train()
    samples = ProposalSamples(view, recipe.proposals(s, "trainaug"), how.short_sides, how.flip)
    batch = collate_proposals([with_proposals(samples[k % len(view), k], proposals) for k in range(pictures)])
    moved = {key: value.to(place) if isinstance(value, Tensor) else value for key, value in batch.items()}
    losses = partial(community_losses, p.detector, p.img.threshold, how.selection, how.weights)
    with autocast(how.optimisation.precision):
        return step_times(model, losses, moved)
