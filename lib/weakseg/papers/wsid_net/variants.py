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


def surrogates(s: Session, weights: dict[str, float] | None = None) -> dict[str, Session]:
    """The three ways to count, and none. weights: of L_SU for surrogates that want another one than the session's,
    since their losses have different units."""
    found = {"No count loss": recipe.without(s, "L_SU")}
    for row, name in SURROGATES.items():
        weight = {"weight": weights[name]} if weights and name in weights else {}
        found[row] = _changed(s, "count", {"surrogate": name, **weight})
    return found


def _changed(s: Session, part: str, choice: dict[str, Any] | None) -> Session:
    now = getattr(s.params.wsid, part)
    if now is None and choice is not None:
        raise ValueError(f"wsid.{part}: null has nothing to vary; take the session of the whole method")
    return s.changed(wsid={part: choice if choice is None else {**now.model_dump(), **choice}})
