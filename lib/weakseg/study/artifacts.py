"""One file per picture: instances, label maps and float maps as a stage leaves them in its folder.

Files hold no pickles and the same content gives the same bytes, so a record's checksums can be compared between runs.
"""

from pathlib import Path

import numpy as np
from PIL import Image


def save_instances(folder: Path, name: str, masks: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> None:
    """Writes ``<folder>/<name>.npz``: masks (n, H, W) bool, labels (n,) 0-based class, scores (n,).

    Raises ValueError when the three disagree about n.
    """
    if masks.ndim != 3 or not len(masks) == len(labels) == len(scores):
        raise ValueError(
            f"{name}: masks {masks.shape}, labels {labels.shape}, scores {scores.shape} must be (n, H, W), (n,), (n,)"
        )
    packed = np.packbits(masks.astype(bool), axis=-1)  # (n, H, ceil(W / 8)): an eighth of the bytes before deflate
    np.savez_compressed(
        _file(folder, name, ".npz"),
        masks=packed,
        width=np.int64(masks.shape[-1]),
        labels=labels.astype(np.int64),
        scores=scores.astype(np.float32),
    )


def load_instances(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """masks (n, H, W) bool, labels (n,) int64, scores (n,) float32 as `save_instances` wrote them."""
    stored = load_maps(folder, name)
    masks = np.unpackbits(stored["masks"], axis=-1, count=int(stored["width"])).astype(bool)
    return masks, stored["labels"], stored["scores"]


def save_maps(folder: Path, name: str, **arrays: np.ndarray) -> None:
    """Writes ``<folder>/<name>.npz`` of named arrays (CAMs, fields, boundaries); object arrays are refused."""
    for key, array in arrays.items():
        if np.asarray(array).dtype == object:
            raise ValueError(f"{name}: array '{key}' holds Python objects; give numbers of one shape")
    np.savez_compressed(_file(folder, name, ".npz"), **arrays)


def load_maps(folder: Path, name: str) -> dict[str, np.ndarray]:
    """The named arrays of `save_maps`. Raises FileNotFoundError naming the file."""
    file = Path(folder) / f"{name}.npz"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such artifact file")
    with np.load(file, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def save_labels(folder: Path, name: str, label_map: np.ndarray) -> None:
    """Writes ``<folder>/<name>.png``: label_map (H, W) uint8 with the VOC palette (0 background, 255 void)."""
    if label_map.dtype != np.uint8 or label_map.ndim != 2:
        raise ValueError(f"{name}: a label map is uint8 (H, W) (got {label_map.dtype} {label_map.shape})")
    picture = Image.fromarray(np.ascontiguousarray(label_map))
    picture.putpalette(voc_palette().tobytes())
    picture.save(_file(folder, name, ".png"))


def load_labels(folder: Path, name: str) -> np.ndarray:
    """Label map (H, W) uint8 of a palette or grey png. Raises FileNotFoundError, or ValueError for a colour picture."""
    file = Path(folder) / f"{name}.png"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such artifact file")
    with Image.open(file) as picture:
        if picture.mode not in ("P", "L"):
            raise ValueError(f"{file}: a label map is a palette or grey png (got mode {picture.mode})")
        return np.array(picture, dtype=np.uint8)


def voc_palette() -> np.ndarray:
    """The VOC colour map (256, 3) uint8: bit 3k+c of a label is bit 7-k of its channel c (devkit's colormap)."""
    label = np.arange(256)[:, None]
    channel = np.arange(3)[None, :]
    return sum(((label >> (3 * k + channel)) & 1) << (7 - k) for k in range(8)).astype(np.uint8)  # (256, 3)


def _file(folder: Path, name: str, ending: str) -> Path:
    file = Path(folder) / f"{name}{ending}"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
