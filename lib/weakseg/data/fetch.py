"""`python -m weakseg.data fetch`: public data sets from their own addresses; where there is only a form, what to do
by hand.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.archives import ask_disk, digest, download, extract, verify


@dataclass(frozen=True)
class Source:
    """One archive: where it is, what it must be, where it goes."""

    base: str
    file: str
    checksum: str | None  # None: not published; the first download is recorded
    size: int  # bytes of the archive
    unpacked: int  # bytes of its content, at most
    folder: str = "."  # below the data root


_VOC = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
_SBD = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
_COCO = "http://images.cocodataset.org/"
_ECSSD = "https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/data/ECSSD/"
_DUTS = "http://saliencydetection.net/duts/download/"

SOURCES: dict[str, tuple[Source, ...]] = {
    "voc2012": (
        Source(
            _VOC, "VOCtrainval_11-May-2012.tar", "md5:6cd6e144f989b92b3379bac3b3de84fd", 1_999_639_040, 2_100_000_000
        ),
    ),
    "sbd": (Source(_SBD, "benchmark.tgz", "md5:82b4d87ceb2ed10f6038a1cba92111cb", 1_419_539_633, 3_000_000_000),),
    "coco": (
        Source(
            _COCO,
            "annotations/annotations_trainval2017.zip",
            "md5:f4bbac642086de4f52a3fdda2de5fa2c",
            252_907_541,
            1_500_000_000,
            "coco",
        ),
        Source(_COCO, "zips/val2017.zip", "md5:442b8da7639aecaf257c1dceb8ba8c80", 815_585_330, 1_200_000_000, "coco"),
        Source(
            _COCO, "zips/train2017.zip", "md5:cced6f7f71b7629ddf16f17bbcfab6b2", 19_336_861_798, 21_000_000_000, "coco"
        ),
    ),
    "ecssd": (
        Source(_ECSSD, "images.zip", None, 68_000_000, 200_000_000, "ECSSD"),
        Source(_ECSSD, "ground_truth_mask.zip", None, 2_000_000, 200_000_000, "ECSSD"),
    ),
    "duts": (
        Source(_DUTS, "DUTS-TR.zip", None, 270_000_000, 1_500_000_000, "DUTS"),
        Source(_DUTS, "DUTS-TE.zip", None, 140_000_000, 1_000_000_000, "DUTS"),
    ),
}
BY_HAND = {
    "msra_b": "MSRA-B: the original server is gone. Ask the authors of Liu et al., Learning to Detect a Salient Object "
    "(CVPR 2007), or use a copy "
    "that you may use; put the photos into MSRA-B/Image and the boxes of the annotators into MSRA-B/UserData/*.txt.",
    "ilso": "ILSO: asked for on the page of Li et al., Instance-Level Salient Object Segmentation (CVPR 2017), "
    "linked from "
    "github.com/Xyuan13/MSRNet; put the photos into ILSO/imgs and the instance masks into ILSO/gt.",
    "duts_single": "DUTS-Single: the authors of BoxCaseg share it as folders of pictures, linked from "
    "github.com/hustvl/BoxCaseg (joint_training). Fetch duts, then write the names of their DUTS-TR-Image-single "
    "(7,991, without mirrored copies) into DUTS/DUTS-Single.txt, one a line, and those of DUTS-TR-Image-single-new "
    "(4,701, none of VOC's classes) into DUTS/DUTS-Single-4701.txt.",
}


def fetch(name: str, root: Path, base: str | None = None) -> list[str]:
    """Download, verify and extract one data set below `root`; what is done already is left alone.

    Returns lines to print.

    base: another address of the same files. ValueError names the sets for an unknown name, and for a set's name in the
    place of the folder: one set is fetched at a time.
    """
    if str(root) in {*SOURCES, *BY_HAND}:
        raise ValueError(f"{root}: is a data set, not a folder; fetch one set at a time: fetch {name} FOLDER")
    if name in BY_HAND:
        return [BY_HAND[name]]
    if name not in SOURCES:
        raise ValueError(f"{name}: not a data set; there are {', '.join([*SOURCES, *BY_HAND])}")
    missing = [source for source in SOURCES[name] if not _done(source, root).is_file()]
    have = sum(_have(source, root) for source in missing)
    ask_disk(root, sum(source.size + source.unpacked for source in missing) - have)
    lines = [_get(source, root, base) for source in missing]
    return lines or [f"{name}: already there, below {root}"]


def _archive(source: Source, root: Path) -> Path:
    return root / "archives" / Path(source.file).name


def _done(source: Source, root: Path) -> Path:
    """Record of an extracted archive, written last."""
    return root / "archives" / f"{source.folder.replace('.', 'root')}-{Path(source.file).name}.json"


def _have(source: Source, root: Path) -> int:
    archive = _archive(source, root)
    return sum(path.stat().st_size for path in (archive, archive.with_name(archive.name + ".part")) if path.is_file())


def _get(source: Source, root: Path, base: str | None) -> str:
    """One archive from its address to its folder; the archive is deleted once its content is in place."""
    archive = _archive(source, root)
    if not archive.is_file():
        download((base or source.base).rstrip("/") + "/" + source.file, archive)
    if source.checksum:
        verify(archive, source.checksum)
    found = f"sha256:{digest(archive, 'sha256')}"
    members = extract(archive, root / source.folder, source.unpacked)
    _done(source, root).write_text(
        json.dumps({"file": source.file, "checksum": source.checksum or found, "members": members}) + "\n"
    )
    archive.unlink()
    note = (
        ""
        if source.checksum
        else f"; WARNING: no published checksum, this one was {found}, compare it with another copy"
    )
    return f"{source.file}: {members:,} members in {root / source.folder}{note}"
