"""MSRA-B (Liu et al. 2007): salient pictures with boxes of several annotators (nine in the original).

Annotation text, UserData/*.txt: the number of pictures; then for each picture a line with its path, a line "width
height",
a line of boxes "left top right bottom;". The original server is gone: the form follows descriptions of the set, the
drawn set uses it.
"""

import re
from pathlib import Path

import numpy as np

from weakseg.data.files import read_picture


class MsraSet:
    """Pictures in MSRA-B/Image and the boxes of all annotation texts. root: folder that holds MSRA-B/."""

    def __init__(self, root: Path | str):
        self.folder = Path(root) / "MSRA-B"
        texts = sorted((self.folder / "UserData").glob("*.txt"))
        if not texts:
            raise FileNotFoundError(
                f"{self.folder / 'UserData'}: no annotation text; put MSRA-B's there, one or several .txt files"
            )
        self._entries: dict[str, tuple[tuple[int, int], np.ndarray]] = {}
        for text in texts:
            for name, size, boxes in read_user_data(text):
                earlier = self._entries[name][1] if name in self._entries else np.zeros((0, 4), int)
                self._entries[name] = size, np.concatenate([earlier, boxes])
        self.names = sorted(self._entries)

    def __len__(self) -> int:
        return len(self.names)

    def image_path(self, index: int) -> Path:
        """Photo of picture `index`."""
        return self.folder / "Image" / f"{self.names[index]}.jpg"

    def image(self, index: int) -> np.ndarray:
        """RGB, uint8 (H, W, 3); its size is checked against the annotation."""
        image, (height, width) = read_picture(self.image_path(index)), self._entries[self.names[index]][0]
        if image.shape[:2] != (height, width):
            raise ValueError(
                f"{self.image_path(index)}: {image.shape[1]}x{image.shape[0]} pixels, "
                f"annotated as {width}x{height}; get it again"
            )
        return image

    def boxes(self, index: int) -> np.ndarray:
        """int (A, 4): x0, y0, x1, y1 of every annotator."""
        return self._entries[self.names[index]][1]

    def average_box(self, index: int) -> np.ndarray:
        """float (4,): mean over the annotators, the box that Oh et al. (2017, section 4) start GrabCut from."""
        return self.boxes(index).mean(0)


def read_user_data(path: Path) -> list[tuple[str, tuple[int, int], np.ndarray]]:
    """(name, (height, width), boxes int (A, 4)) of every picture in one annotation text. ValueError names the line."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    lines = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not lines or not lines[0][1].isdigit():
        raise ValueError(f"{path}: line 1 is not the number of pictures; is this an annotation text of MSRA-B?")
    count, blocks = int(lines[0][1]), lines[1:]
    if len(blocks) != 3 * count:
        raise ValueError(
            f"{path}: {count} pictures announced, {len(blocks) / 3:g} found; the file is cut short, get it again"
        )
    return [_block(path, *blocks[3 * k : 3 * k + 3]) for k in range(count)]


def _block(
    path: Path, picture: tuple[int, str], size: tuple[int, str], boxes: tuple[int, str]
) -> tuple[str, tuple[int, int], np.ndarray]:
    try:
        width, height = (int(x) for x in size[1].split())
        found = np.array(
            [[int(x) for x in re.split(r"[ ,]+", one.strip())] for one in boxes[1].split(";") if one.strip()]
        )
        if found.ndim != 2 or found.shape[1] != 4:
            raise ValueError("four numbers a box are wanted")
    except ValueError as error:
        raise ValueError(f"{path}: lines {size[0]}-{boxes[0]}: {error}; correct them") from None
    name = picture[1].replace("\\", "/").rsplit(".", 1)[0]
    if np.any(found[:, 2:] <= found[:, :2]) or np.any(found < 0) or np.any(found > [width, height] * 2):
        raise ValueError(
            f"{path}: line {boxes[0]}: a box of {name} lies outside its {width}x{height} pixels "
            "or is inside out; correct it"
        )
    return name, (height, width), found
