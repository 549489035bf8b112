"""ILSO (Li et al. 2017): salient instances, 1,000 pictures, 500 train, 200 val, 300 test. imgs/*.jpg and gt/*.png.

A mask gives every instance its own value (indexed or grey PNG) or its own colour (RGB PNG); 0 or black is background.
"""

from pathlib import Path

import numpy as np

from weakseg.data.files import VOID, read_any, read_lines, read_picture, same_size

SHARES = {"train": (0.0, 0.5), "val": (0.5, 0.7), "test": (0.7, 1.0)}


class IlsoSet:
    """One split. Lists train.txt, val.txt, test.txt beside imgs/ are used when present, else the sorted names are cut
    5 : 2 : 3.
    """

    def __init__(self, root: Path | str, split: str):
        self.folder = Path(root) / "ILSO"
        if split not in SHARES:
            raise ValueError(f"split {split!r}: ILSO has train, val and test")
        if not (self.folder / "imgs").is_dir():
            raise FileNotFoundError(
                f"{self.folder / 'imgs'}: missing; put the pictures of ILSO there and its masks in gt/"
            )
        every = sorted(path.stem for path in (self.folder / "imgs").glob("*.jpg"))
        low, high = (round(share * len(every)) for share in SHARES[split])
        listed = self.folder / f"{split}.txt"
        self.names = read_lines(listed, "") if listed.is_file() else every[low:high]

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """RGB, uint8 (H, W, 3)."""
        return read_picture(self.folder / "imgs" / f"{self.names[index]}.jpg")

    def instances(self, index: int) -> np.ndarray:
        """bool (n, H, W), in order of value or colour; void (255 of an indexed PNG) belongs to none."""
        path = self.folder / "gt" / f"{self.names[index]}.png"
        values, indexed = read_any(path)
        same_size(self.image(index), self.folder / "imgs" / f"{self.names[index]}.jpg", values, path)
        left_out = [0, VOID] if indexed else [0]
        return np.array([values == v for v in np.setdiff1d(np.unique(values), left_out)], bool).reshape(
            -1, *values.shape
        )

    def mask(self, index: int) -> np.ndarray:
        """bool (H, W): all salient pixels."""
        return self.instances(index).any(0)

    def count(self, index: int) -> int:
        """Number of salient instances: the weak label of WSID-Net."""
        return len(self.instances(index))
