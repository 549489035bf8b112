"""Reading and writing picture files, with one clear line when a file is missing, cut short or of the wrong kind."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

VOID = 255


@cache
def palette() -> bytes:
    """Colours of the VOC devkit, 768 bytes: bits 0, 3, 6 of the label give the high bits of red, bits 1, 4, 7 green,
    bits 2, 5 blue.
    """
    label = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((label >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.astype(np.uint8).tobytes()


def _open(path: Path) -> Image.Image:
    """Decoded picture. FileNotFoundError or ValueError with one line that names the file and the mend."""
    try:
        picture = Image.open(path)
        picture.load()
        return picture
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: missing; copy or fetch it again, or take its name off the list") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: truncated or not a picture ({error}); fetch it again") from None


def read_picture(path: Path) -> np.ndarray:
    """RGB picture, uint8 (H, W, 3)."""
    return np.asarray(_open(path).convert("RGB"))


def read_labels(path: Path) -> np.ndarray:
    """Label map of an indexed or grey PNG, uint8 (H, W). A colour PNG is refused: its label values are gone."""
    picture = _open(path)
    if picture.mode not in ("P", "L"):
        raise ValueError(
            f"{path}: {picture.mode} picture where label values are wanted; save it as indexed (palette) PNG"
        )
    return np.asarray(picture)


def read_any(path: Path) -> tuple[np.ndarray, bool]:
    """Values (H, W) of an instance picture and whether it is indexed or grey; a colour becomes the number 65536 r +
    256 g + b.
    """
    picture = _open(path)
    if picture.mode in ("P", "L"):
        return np.asarray(picture), True
    return np.asarray(picture.convert("RGB")).astype(np.int64) @ np.array([65536, 256, 1]), False


def read_mask(path: Path) -> np.ndarray:
    """Salient mask, bool (H, W): true where the grey value is at least half of the range."""
    return np.asarray(_open(path).convert("L")) >= 128


def write_picture(path: Path, image: np.ndarray) -> None:
    """JPEG, quality 95, no chroma subsampling. image uint8 (H, W, 3)."""
    Image.fromarray(image).save(path, quality=95, subsampling=0)


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Indexed PNG in the colours of the VOC devkit. labels uint8 (H, W)."""
    picture = Image.fromarray(labels)
    picture.putpalette(palette())
    picture.save(path, compress_level=3)


def read_lines(path: Path, mend: str) -> list[str]:
    """Lines of a text file without the empty ones. FileNotFoundError with the mend when it is missing."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; {mend}")
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Text file with one entry a line; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def same_size(first: np.ndarray, first_path: Path, second: np.ndarray, second_path: Path) -> None:
    """ValueError when two arrays of one picture differ in height or width."""
    if first.shape[:2] != second.shape[:2]:
        (h, w), (g, v) = first.shape[:2], second.shape[:2]
        raise ValueError(
            f"{second_path}: {v}x{g} pixels, but {first_path.name} is {w}x{h}; they must agree, resize or fetch again"
        )
