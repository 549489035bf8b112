import json
import re

import numpy as np
import pytest
from PIL import Image

from weakseg.data.__main__ import main
from weakseg.data.check import check
from weakseg.data.files import read_labels, write_labels
from weakseg.data.voc import split_names


def test_a_sound_set_has_no_fault(drawn, capsys):
    assert check(drawn) == []
    assert main(["check", str(drawn)]) == 0
    assert capsys.readouterr().out == "nothing wrong found\n"


def test_every_fault_is_listed_once(copy, capsys):
    kit = copy / "VOCdevkit/VOC2012"
    val, train = split_names(copy, "val"), split_names(copy, "trainaug")
    (kit / f"JPEGImages/{train[20]}.jpg").unlink()  # the link in coco/ still holds the picture
    (kit / f"JPEGImages/{val[0]}.jpg").write_bytes(b"")
    write_labels(kit / f"SegmentationClass/{val[1]}.png", np.zeros((3, 3), np.uint8))
    write_labels(kit / f"SegmentationClass/{val[2]}.png", np.full((60, 72), 77, np.uint8))
    (kit / f"Annotations/{val[3]}.xml").unlink()
    annotation = kit / f"Annotations/{val[4]}.xml"
    annotation.write_text(re.sub(r"<xmax>\d+", "<xmax>500", annotation.read_text(), count=1))
    numbers = read_labels(kit / f"SegmentationObject/{val[5]}.png").copy()
    numbers[numbers == 1] = 200
    write_labels(kit / f"SegmentationObject/{val[5]}.png", numbers)
    annotation = kit / f"Annotations/{val[6]}.xml"
    annotation.write_text(re.sub(r"<name>\w+", "<name>unicorn", annotation.read_text(), count=1))
    (kit / f"SegmentationObject/{val[7]}.png").unlink()
    (copy / "DUTS/DUTS-TR/DUTS-TR-Mask/thing_000001.png").unlink()
    Image.new("L", (5, 5)).save(copy / "ILSO/gt/000003.png")
    photo = copy / "MSRA-B/Image/thing_000002.jpg"
    photo.unlink()
    Image.new("RGB", (9, 9)).save(photo)
    path = copy / "coco/annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["images"][2]["width"] = 5
    path.write_text(json.dumps(content))

    lines = check(copy)
    for wanted in (
        f"{train[20]}.jpg: missing",
        f"{val[0]}.jpg: truncated",
        f"{val[1]}.png: 3x3 pixels",
        f"{val[2]}.png: label value 77",
        f"{val[3]}.xml: missing",
        f"{val[4]}.xml: box .* lies outside the 72x60 photo",
        rf"{val[5]}.png: instance numbers .*200.* have gaps",
        f"{val[6]}.xml: object 'unicorn'",
        f"{val[7]}.png: missing",
        "thing_000001.png: missing",
        "000003.png: 5x5 pixels",
        "thing_000002.jpg: 9x9 pixels, annotated as 72x60",
        "72x60 pixels, but instances_train2017.json says 5x60",
    ):
        assert len([line for line in lines if re.search(wanted, line)]) == 1, wanted
    assert all("\n" not in line for line in lines)
    assert main(["check", str(copy)]) == 1
    assert capsys.readouterr().out.splitlines() == lines


def test_faults_of_lists(copy, tmp_path):
    folder = copy / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    (folder / "val.txt").write_text("\n".join([*split_names(copy, "val"), split_names(copy, "train")[0]]))
    (folder / "tune.txt").write_text("\n".join(split_names(copy, "tune")[:1] * 2))
    lines = check(copy)
    assert "tune.txt: 1 names stand there twice; take them out" in lines
    assert any(line.startswith("val.txt: 1 pictures are also trained on (2012_000000") for line in lines)
    with pytest.raises(FileNotFoundError, match="none of VOCdevkit, coco"):
        check(tmp_path / "nothing")
