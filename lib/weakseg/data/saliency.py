"""Salient sets: DUTS (DUTS-TR, DUTS-TE) and ECSSD. A picture and a mask of what stands out; no classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weakseg.data.files import read_lines, read_mask, read_picture, same_size


class SalientSet:
    """Pictures with salient masks. names: None takes every picture of the folder, in order of name."""

    def __init__(self, images: Path, masks: Path, names: Sequence[str] | None = None):
        self.images, self.masks = Path(images), Path(masks)
        for folder in (self.images, self.masks):
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder}: missing; fetch the set, or point the root at the folder above")
        self.names = list(names) if names is not None else sorted(path.stem for path in self.images.glob("*.jpg"))
        if not self.names:
            raise ValueError(f"{self.images}: no .jpg picture; fetch the set again")

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """RGB, uint8 (H, W, 3)."""
        return read_picture(self.images / f"{self.names[index]}.jpg")

    def mask(self, index: int) -> np.ndarray:
        """bool (H, W): salient pixels; its size is checked against the picture."""
        path, photo = self.masks / f"{self.names[index]}.png", self.images / f"{self.names[index]}.jpg"
        mask = read_mask(path)
        same_size(self.image(index), photo, mask, path)
        return mask


def open_duts(root: Path, part: str = "TR", names_file: Path | None = None) -> SalientSet:
    """DUTS-TR or DUTS-TE below root/DUTS or root; names_file: a list (one name a line) such as BoxCaseg's
    DUTS-Single.
    """
    root = Path(root)
    folder = next(
        (p for p in (root / "DUTS" / f"DUTS-{part}", root / f"DUTS-{part}") if p.is_dir()),
        root / "DUTS" / f"DUTS-{part}",
    )
    names = None
    if names_file is not None:
        names = [Path(line).stem for line in read_lines(Path(names_file), "get the list from the authors' page")]
    return SalientSet(folder / f"DUTS-{part}-Image", folder / f"DUTS-{part}-Mask", names)


def open_ecssd(root: Path) -> SalientSet:
    """ECSSD below root/ECSSD; the masks lie in ground_truth_mask/ (official) or masks/."""
    folder = Path(root) / "ECSSD"
    masks = next(
        (folder / m for m in ("ground_truth_mask", "masks") if (folder / m).is_dir()), folder / "ground_truth_mask"
    )
    return SalientSet(folder / "images", masks)
