"""The house style of every figure: a palette colour-blind readers can tell apart, one size scale, bytes that repeat."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from cycler import cycler
from IPython import get_ipython
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats

# Okabe and Ito's eight colours (Color Universal Design, 2008), dark ones first so that thin text stays readable.
PALETTE = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "orange": "#E69F00",
    "yellow": "#F0E442",
    "black": "#000000",
}
GREY, INK = "#8A9099", "#1B1E23"

# Widths in inches of a figure in one column, one and a half, and the whole page.
COLUMN, MIDDLE, PAGE = 3.4, 5.0, 7.0

_RC = {
    "figure.dpi": 110,
    "savefig.dpi": 200,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.04,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.titlelocation": "left",
    "axes.grid": False,
    "grid.color": "#E6E8EC",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "legend.frameon": False,
    "image.interpolation": "nearest",
    "image.cmap": "viridis",
    "axes.prop_cycle": cycler(color=list(PALETTE.values())),
    "pdf.fonttype": 42,
    "svg.hashsalt": "weakseg",
}


def apply() -> None:
    """Use the house style for every figure from here on."""
    mpl.rcParams.update(_RC)


@contextmanager
def style() -> Iterator[None]:
    """Use the house style inside a `with` block."""
    with mpl.rc_context(_RC):
        yield


def light_pictures() -> None:
    """In a notebook, figures are shown as JPEG: pages full of pictures stay a quarter of the size. Files stay exact."""
    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        set_matplotlib_formats("jpeg", pil_kwargs={"quality": 85})


def label_colours(count: int) -> np.ndarray:
    """RGB in [0, 1] of label values 0..count-1: (count, 3). 0 is white, then the palette, then darker and lighter."""
    base = np.array([to_rgb(colour) for name, colour in PALETTE.items() if name != "black"])  # (7, 3)
    rounds = [base, 0.55 * base, 0.5 + 0.5 * base]
    wanted = -(-max(count - 1, 0) // len(base))
    colours = np.concatenate([rounds[i % len(rounds)] for i in range(max(wanted, 1))])
    return np.concatenate([np.ones((1, 3)), colours])[:count]


def save(fig: Figure, folder: Path, name: str, title: str) -> Path:
    """Save `fig` as <folder>/<name>.png (200 dpi) and .pdf; equal figures are equal bytes (no dates). Returns the png.

    `title` says in words what is seen; it goes into the files' metadata. ValueError when it is empty.
    """
    if not title.strip():
        raise ValueError(f"figure '{name}': say in words what it shows (title is empty)")
    folder.mkdir(parents=True, exist_ok=True)
    plain = {
        "png": {"Software": None, "Title": title},
        "pdf": {"Creator": None, "Producer": None, "CreationDate": None, "Title": title},
    }
    with style():
        for kind, metadata in plain.items():
            partial = folder / f".{name}.{os.getpid()}.partial"
            fig.savefig(partial, format=kind, dpi=200, metadata=metadata)
            os.replace(partial, folder / f"{name}.{kind}")
    return folder / f"{name}.png"
