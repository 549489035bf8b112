"""The rows of the ablation tables as changed sessions, by their labels."""

from typing import Any

from weakseg.papers.wsid_net import recipe
from weakseg.study.session import Session

ATTENTIONS: dict[str, dict[str, Any] | None] = {
    "No attention": None,
    "Channel only": {"arrangement": "channel", "shared": True},
    "Spatial only": {"arrangement": "spatial", "shared": True},
    "Serial": {"arrangement": "serial", "shared": True},
    "Parallel, not shared": {"arrangement": "parallel", "shared": False},
    "Parallel, shared (the paper's)": {"arrangement": "parallel", "shared": True},
}
SURROGATES = {
    "Soft count": "soft",
    "Straight-through split and merge": "straight",
    "k-means with the given count": "kmeans",
}
NETS = {
    "tiny": "tiny",
    "small": "small",
    "MobileNetV2": "mobilenet_v2",
    "ResNet50": "resnet50",
    "ResNet101": "resnet101",
}


def ablations(s: Session) -> dict[str, Session]:
    """The rows of table 2."""
    return {
        "Ours (w/o DA, BE, L_SU)": recipe.without(s, "DA", "BE", "L_SU"),
        **{f"Ours (w/o {part})": recipe.without(s, part) for part in recipe.SWITCHES},
        "Ours": s,
    }


def attentions(s: Session) -> dict[str, Session]:
    """Design choices of the double attention module; the session must have one to vary."""
    return {row: _changed(s, "attention", choice) for row, choice in ATTENTIONS.items()}


def surrogates(s: Session) -> dict[str, Session]:
    """The three ways to count, and none; the session's own keeps its weight, the others take that of count_weights."""
    found = {"No count loss": recipe.without(s, "L_SU")}
    own = s.params.wsid.count and s.params.wsid.count.surrogate
    for row, name in SURROGATES.items():
        weight = getattr(s.params.count_weights, name)
        found[row] = s if name == own else _changed(s, "count", {"surrogate": name, "weight": weight})
    return found


def backbones(s: Session) -> dict[str, Session]:
    """The rows of `backbones`: both branches on another net; saliency and confident areas stay those of the session."""
    return {row: _on(s, *row.split(", ")) for row in s.params.backbones}


def _on(s: Session, net: str, start: str) -> Session:
    name, now = NETS[net], s.params.wsid
    own = now.weights if name == now.backbone else None
    weights = (own or "torchvision") if start == "ImageNet" else None
    return s.changed(wsid={"backbone": name, "weights": weights, "from_tags": start != "from scratch"})


def _changed(s: Session, part: str, choice: dict[str, Any] | None) -> Session:
    now = getattr(s.params.wsid, part)
    if now is None and choice is not None:
        raise ValueError(f"wsid.{part}: null has nothing to vary; take the session of the whole method")
    return s.changed(wsid={part: choice if choice is None else {**now.model_dump(), **choice}})
