import numpy as np
import pytest
from scipy.io import savemat

from weakseg.data.files import read_labels, write_lines
from weakseg.data.sbd import build_trainaug, read_mat, trainaug_names
from weakseg.data.voc import VocSet, split_names


@pytest.fixture
def archives(copy):
    """The drawn devkit as VOC, and an SBD release whose lists overlap with VOC's train and val."""
    kit, sbd = copy / "VOCdevkit/VOC2012", copy / "benchmark_RELEASE/dataset"
    names = split_names(copy, "trainaug")
    truth = {}
    for kind, field in (("cls", "GTcls"), ("inst", "GTinst")):
        (sbd / kind).mkdir(parents=True)
        source = "SegmentationClassAug" if kind == "cls" else "SegmentationObjectAug"
        for name in names[10:]:
            labels = read_labels(kit / source / f"{name}.png")
            truth[kind, name] = labels
            savemat(
                sbd / kind / f"{name}.mat",
                {field: {"Segmentation": labels, "Boundaries": np.zeros(3)}},
                do_compression=True,
            )
            (kit / source / f"{name}.png").unlink()
    (kit / "ImageSets/Segmentation/trainaug.txt").unlink()
    val = split_names(copy, "val")
    write_lines(sbd / "train.txt", [*names[5:18], val[0]])  # some of VOC train, one of VOC val
    write_lines(sbd / "val.txt", [*names[18:], *val[1:3]])
    return copy, names, truth


def test_trainaug_is_train_and_sbd_without_val(archives):
    root, names, truth = archives
    assert trainaug_names(root) == names
    assert build_trainaug(root) == len(names) == 24
    pictures = VocSet(root, "trainaug")
    assert pictures.names == names
    for index in range(10):
        assert 255 in pictures.semantic(index)  # official masks keep their void border
    for index in range(10, 24):
        assert np.array_equal(pictures.semantic(index), truth["cls", names[index]])
        assert pictures.instances(index)[0].sum() == (truth["inst", names[index]] > 0).sum()


def test_a_broken_archive_is_named_and_leaves_no_list(archives):
    root, names, _ = archives
    path = root / f"benchmark_RELEASE/dataset/inst/{names[20]}.mat"
    whole = path.read_bytes()
    path.write_bytes(whole[:150])
    with pytest.raises(ValueError, match=f"{path.name}: truncated or no SBD file"):
        build_trainaug(root)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path.name}: missing; fetch sbd again"):
        build_trainaug(root)
    assert not (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/trainaug.txt").exists()


def test_missing_sbd_and_wrong_values(drawn, tmp_path):
    with pytest.raises(FileNotFoundError, match="benchmark_RELEASE/dataset: missing; fetch sbd"):
        build_trainaug(drawn)
    savemat(tmp_path / "a.mat", {"GTcls": {"Segmentation": np.full((2, 2), 21, np.uint8)}})
    with pytest.raises(ValueError, match="class value 21, but VOC has 20 classes"):
        read_mat(tmp_path / "a.mat", "cls")
