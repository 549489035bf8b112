import numpy as np
import pytest
from PIL import Image

from weakseg.data.files import write_labels
from weakseg.data.menagerie import draw
from weakseg.data.scene import void_border
from weakseg.data.voc import VOC_CLASSES, VocSet, read_annotation


def pick(folder, *parts):
    return folder.joinpath("VOCdevkit/VOC2012", *parts)


@pytest.mark.parametrize(
    ("split", "first", "clean"), [("val", 400_000, True), ("tune", 700_000, True), ("train", 0, True)]
)
def test_loader_gives_back_what_was_drawn(drawn, split, first, clean, tiny):
    pictures = VocSet(drawn, split)
    assert pictures.classes == tiny.class_names
    for index in range(len(pictures)):
        truth = draw(first + index, tiny.seed, tiny)
        border = void_border(truth.instance_map, tiny.void_share)
        assert np.array_equal(pictures.semantic(index), np.where(border, 255, truth.semantic))
        masks, labels = pictures.instances(index)
        assert labels.tolist() == truth.labels.tolist()
        for k, mask in enumerate(masks):
            assert np.array_equal(mask, (truth.instance_map == k + 1) & ~border)
        found = [(b.label, b.x0, b.y0, b.x1, b.y1) for b in pictures.objects(index)]
        assert found == [(label, *box) for label, box in zip(truth.labels, truth.boxes.tolist(), strict=True)]
        error = np.abs(pictures.image(index).astype(int) - truth.image)
        assert error.mean() < 4  # JPEG, quality 95


def test_trainaug_has_masks_without_void_beyond_train(drawn, tiny):
    pictures = VocSet(drawn, "trainaug")
    assert pictures.names[: tiny.n_train] == VocSet(drawn, "train").names
    for index in range(len(pictures)):
        assert (255 in pictures.semantic(index)) == (index < tiny.n_train)
        masks, labels = pictures.instances(index)
        assert np.array_equal(masks.any(0), (pictures.semantic(index) > 0) & (pictures.semantic(index) < 255))
        assert np.all(masks.sum(0) <= 1) and len(labels) == len(pictures.objects(index))


def test_classes_not_listed_become_void_and_lose_their_instances(drawn):
    whole = VocSet(drawn, "trainaug")
    part = VocSet(drawn, "trainaug", classes=(whole.classes[4], whole.classes[1]))
    for index in range(len(whole)):
        everything, some = whole.semantic(index), part.semantic(index)
        assert np.array_equal(some == 1, everything == 5) and np.array_equal(some == 2, everything == 2)
        assert np.array_equal(some == 0, everything == 0)
        assert len(part.instances(index)[1]) == sum(label in (1, 4) for label in whole.instances(index)[1])
        assert len(part.objects(index)) == sum(box.label in (1, 4) for box in whole.objects(index))


def test_without_classes_txt_the_classes_are_those_of_voc(copy):
    pick(copy, "classes.txt").unlink()
    pictures = VocSet(copy, "val")
    assert pictures.classes == VOC_CLASSES and len(VOC_CLASSES) == 20
    with pytest.raises(ValueError, match=r"xml: object '\w+' is not in the class list"):
        pictures.objects(0)


def test_arrays_are_read_only(drawn):
    with pytest.raises(ValueError, match="read-only"):
        VocSet(drawn, "val").image(0)[:] = 0


def test_missing_files_are_named(copy):
    pictures = VocSet(copy, "val")
    name = pictures.names[0]
    pick(copy, "JPEGImages", f"{name}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}.jpg: missing"):
        pictures.image(0)
    pick(copy, "Annotations", f"{name}.xml").unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}.xml: missing"):
        pictures.objects(0)
    with pytest.raises(FileNotFoundError, match="VOC2012: missing; point WEAKSEG_DATA"):
        VocSet(copy / "coco", "val")
    with pytest.raises(FileNotFoundError, match=r"trial.txt: missing; lists there: train, trainaug, tune, val"):
        VocSet(copy, "trial")


def test_truncated_photo_is_named(copy):
    pictures = VocSet(copy, "val")
    path = pictures.image_path(0)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ValueError, match=rf"{path.name}: truncated or not a picture .*fetch it again"):
        pictures.image(0)


def test_wrong_masks_are_named(copy):
    pictures = VocSet(copy, "val")
    shape = pictures.image(0).shape[:2]
    path = pick(copy, "SegmentationClass", f"{pictures.names[0]}.png")
    write_labels(path, np.full(shape, 9, np.uint8))
    with pytest.raises(ValueError, match=f"{path.name}: label value 9, but there are 6 classes"):
        pictures.semantic(0)
    write_labels(path, np.zeros((5, 7), np.uint8))
    with pytest.raises(ValueError, match=f"{path.name}: 7x5 pixels, but .* is 72x60"):
        pictures.semantic(0)
    Image.new("RGB", shape[::-1]).save(path)
    with pytest.raises(ValueError, match=f"{path.name}: RGB picture where label values are wanted"):
        pictures.semantic(0)


def test_unknown_class_is_refused(drawn):
    with pytest.raises(ValueError, match=r"data.classes: 'unicorn' is no class of .*striper"):
        VocSet(drawn, "val", classes=("unicorn",))


def test_annotation_boxes_count_from_one_and_parts_do_not_count(tmp_path):
    path = tmp_path / "a.xml"
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    box = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>10</xmax><ymax>20</ymax></bndbox>"
    path.write_text(f"<annotation><object><name>cat</name><difficult>1</difficult>{part}{box}</object></annotation>")
    assert read_annotation(path) == [("cat", (2.0, 3.0, 10.0, 20.0), True)]
    path.write_text(f"<annotation><object><name>cat</name>{part}</object></annotation>")
    with pytest.raises(ValueError, match=r"a.xml: broken annotation"):
        read_annotation(path)
    path.write_text("<annotation><object>")
    with pytest.raises(ValueError, match=r"a.xml: broken annotation"):
        read_annotation(path)
