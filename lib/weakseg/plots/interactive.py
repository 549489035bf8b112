"""Sliders where a person watches, a row of still panels where nobody does (papermill, nbconvert, tests)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from weakseg.plots import panels

STILLS = 5  # panels in a static row
# What JupyterLab and Notebook, VS Code and Colab leave in the environment of the kernels they start; batch runners
# leave none.
FRONT_ENDS = ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD", "COLAB_RELEASE_TAG")


def live(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a person can move a slider: a kernel started by a known front end, and WEAKSEG_HEADLESS not set."""
    return not environment.get("WEAKSEG_HEADLESS") and any(name in environment for name in FRONT_ENDS)


def explore(draw: Callable[..., None], title: str, **sliders: Sequence[float]) -> object:
    """Show `draw(axes, **values)` under sliders, each over its own values; headless, as stills at five values of each
    slider.

    In a still row the other sliders rest at their middle value. Returns a widget when `live()`, else a Figure.
    Raises ValueError for a slider without values.
    """
    empty = [name for name, values in sliders.items() if len(values) == 0]
    if empty or not sliders:
        raise ValueError(
            f"explore '{title}': slider {empty[0] if empty else '(none given)'} has no values to move over"
        )
    return _widget(draw, title, sliders) if live() else stills(draw, title, sliders)


def stills(draw: Callable[..., None], title: str, sliders: Mapping[str, Sequence[float]]) -> Figure:
    """The static form: one row for each slider, its values (at most five, ends included) as columns."""
    rest = {name: values[len(values) // 2] for name, values in sliders.items()}
    rows = {}
    for name, values in sliders.items():
        shown = [values[i] for i in np.unique(np.linspace(0, len(values) - 1, STILLS).round().astype(int))]
        rows[name] = {f"{name} = {value:g}": _at(draw, rest | {name: value}) for value in shown}
    return panels.grid(rows, title)


def _at(draw: Callable[..., None], values: Mapping[str, float]) -> panels.Panel:
    return lambda axes: draw(axes, **values)


def _widget(draw: Callable[..., None], title: str, sliders: Mapping[str, Sequence[float]]) -> object:
    import ipywidgets  # only a live front end needs it

    def redraw(**values: float) -> None:
        figure, axes = plt.subplots(figsize=(3.4, 3.4))
        draw(axes, **values)
        _show(panels.finished(figure, title))

    handles = {
        name: ipywidgets.SelectionSlider(
            options=list(values), value=values[len(values) // 2], description=name, continuous_update=False
        )
        for name, values in sliders.items()
    }
    return ipywidgets.VBox([*handles.values(), ipywidgets.interactive_output(redraw, handles)])


def _show(figure: Figure) -> None:
    from IPython.display import display

    display(figure)
