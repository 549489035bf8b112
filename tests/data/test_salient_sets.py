import numpy as np
import pytest
from PIL import Image

from weakseg.data.ilso import IlsoSet
from weakseg.data.layouts import annotated_boxes
from weakseg.data.menagerie import draw
from weakseg.data.msra import MsraSet, read_user_data
from weakseg.data.saliency import open_duts, open_ecssd


@pytest.mark.parametrize(("part", "first", "count"), [("TR", 0, 6), ("TE", 400_000, 3)])
def test_duts_gives_back_what_was_drawn(drawn, tiny, part, first, count):
    pictures = open_duts(drawn, part)
    assert len(pictures) == count
    for index in range(count):
        truth = draw(first + index, tiny.seed, tiny, "salient")
        assert np.array_equal(pictures.mask(index), truth.instance_map > 0)
        assert pictures.image(index).shape == truth.image.shape


def test_duts_takes_a_list_of_names(drawn, tmp_path):
    (tmp_path / "single.txt").write_text("thing_000002.jpg\nthing_000004\n")
    assert open_duts(drawn, "TR", tmp_path / "single.txt").names == ["thing_000002", "thing_000004"]
    with pytest.raises(FileNotFoundError, match="none.txt: missing; get the list"):
        open_duts(drawn, "TR", tmp_path / "none.txt")
    with pytest.raises(FileNotFoundError, match="DUTS-TR-Image: missing; fetch"):
        open_duts(tmp_path)


@pytest.mark.parametrize("folder", ["masks", "ground_truth_mask"])
def test_ecssd_with_either_mask_folder(tmp_path, folder):
    for name, kind in (("images", "RGB"), (folder, "1")):
        (tmp_path / "ECSSD" / name).mkdir(parents=True)
        suffix = "jpg" if kind == "RGB" else "png"
        Image.new(kind, (8, 6), 1).save(tmp_path / "ECSSD" / name / f"0001.{suffix}")
    pictures = open_ecssd(tmp_path)
    assert pictures.names == ["0001"] and pictures.mask(0).all() and pictures.mask(0).shape == (6, 8)
    Image.new("1", (9, 6)).save(tmp_path / "ECSSD" / folder / "0001.png")
    with pytest.raises(ValueError, match=r"0001.png: 9x6 pixels, but 0001.jpg is 8x6"):
        pictures.mask(0)


def test_msra_boxes_surround_the_thing(drawn, tiny):
    pictures, duts = MsraSet(drawn), open_duts(drawn)
    assert pictures.names == duts.names
    for index in range(len(pictures)):
        boxes, mask = pictures.boxes(index), duts.mask(index)
        assert boxes.shape == (tiny.annotators, 4) and len(np.unique(boxes, axis=0)) > 1
        assert np.allclose(pictures.average_box(index), boxes.mean(0))
        x0, y0, x1, y1 = np.round(np.median(boxes, 0)).astype(int)
        assert mask[y0:y1, x0:x1].sum() > 0.8 * mask.sum()
        assert np.array_equal(pictures.image(index), duts.image(index))


def test_annotators_stay_inside_the_picture():
    rng = np.random.default_rng(0)
    for box in ((0, 0, 3, 3), (0, 0, 40, 30), (37, 27, 40, 30)):
        boxes = annotated_boxes(rng, box, (30, 40), 200)
        assert np.all(boxes[:, :2] >= 0) and np.all(boxes[:, 2:] <= [40, 30]) and np.all(boxes[:, 2:] > boxes[:, :2])


def test_user_data_by_hand_and_broken(tmp_path):
    path = tmp_path / "u.txt"
    path.write_text("2\n0\\0_101.jpg\n400 300\n1 2 30 40; 5, 6, 70, 80;\n\nb.jpg\n10 10\n0 0 10 10;\n")
    (name, size, boxes), (other, _, _) = read_user_data(path)
    assert (name, other, size) == ("0/0_101", "b", (300, 400)) and boxes.tolist() == [[1, 2, 30, 40], [5, 6, 70, 80]]
    for text, message in (
        ("b.jpg\n", "line 1 is not the number of pictures"),
        ("2\nb.jpg\n10 10\n0 0 5 5;\n", "2 pictures announced, 1 found"),
        ("1\nb.jpg\n10 10\n0 0 5;\n", "lines 3-4: four numbers"),
        ("1\nb.jpg\n10 10\n0 0 11 5;\n", "line 4: a box of b lies outside its 10x10"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_user_data(path)
    with pytest.raises(FileNotFoundError, match="no annotation text"):
        MsraSet(tmp_path)


def test_ilso_gives_back_instances_and_counts(drawn, tiny):
    sets = {split: IlsoSet(drawn, split) for split in ("train", "val", "test")}
    assert [len(s) for s in sets.values()] == [5, 2, 3]
    truth = [draw(index, tiny.seed, tiny, "ilso") for index in range(10)]
    found = [(s.instances(k), s.count(k), s.mask(k)) for s in sets.values() for k in range(len(s))]
    for picture, (masks, count, mask) in zip(truth, found, strict=True):
        assert count == len(picture.labels) == len(masks)
        assert all(np.array_equal(m, picture.instance_map == k + 1) for k, m in enumerate(masks))
        assert np.array_equal(mask, picture.instance_map > 0)


def test_ilso_masks_may_be_coloured_and_lists_may_be_absent(copy):
    values = np.asarray(Image.open(copy / "ILSO/gt/000000.png"))
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 9, 0], [0, 0, 1], [1, 1, 1], [5, 5, 5]], np.uint8)
    Image.fromarray(colours[values]).save(copy / "ILSO/gt/000000.png")
    (copy / "ILSO/train.txt").unlink()
    pictures = IlsoSet(copy, "train")
    assert pictures.names == [f"{k:06d}" for k in range(5)] and pictures.count(0) == values.max()
    with pytest.raises(ValueError, match="ILSO has train, val and test"):
        IlsoSet(copy, "trainaug")
    with pytest.raises(FileNotFoundError, match="imgs: missing"):
        IlsoSet(copy / "coco", "train")
