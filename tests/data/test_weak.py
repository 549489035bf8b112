import numpy as np
import pytest

from weakseg.data import files, voc, weak
from weakseg.data.saliency import open_duts
from weakseg.data.voc import VocSet
from weakseg.data.weak import BoxView, CountView, MaskView, SalientView, TagView

PLAIN = {"names", "classes", "image"}
ALLOWED = {
    TagView: PLAIN | {"tags"},
    BoxView: PLAIN | {"tags", "boxes"},
    CountView: PLAIN | {"tags", "count"},
    MaskView: PLAIN | {"tags", "boxes", "semantic", "instances"},
}


@pytest.mark.parametrize(("view", "allowed"), ALLOWED.items())
def test_a_view_has_these_attributes_and_no_other(drawn, view, allowed):
    one = view(VocSet(drawn, "val"))
    assert {name for name in dir(one) if not name.startswith("_")} == allowed
    assert not any(isinstance(getattr(one, name), VocSet) for name in dir(one))
    with pytest.raises(AttributeError):
        one.anything = 1


def test_weak_views_never_open_a_mask(drawn, monkeypatch):
    def forbidden(path):
        raise AssertionError(f"opened {path}")

    monkeypatch.setattr(voc, "read_labels", forbidden)
    monkeypatch.setattr(files, "read_labels", forbidden)
    pictures = VocSet(drawn, "trainaug")
    for view, work in ((TagView, ("tags",)), (BoxView, ("tags", "boxes")), (CountView, ("tags", "count"))):
        one = view(pictures)
        for index in range(len(one)):
            one.image(index)
            for name in work:
                getattr(one, name)(index)
    with pytest.raises(AssertionError, match="opened"):
        MaskView(pictures).semantic(0)


def test_tags_boxes_and_counts_agree_with_the_masks(drawn):
    pictures = VocSet(drawn, "trainaug")
    for index in range(len(pictures)):
        labels = pictures.instances(index)[1]
        assert weak.count(pictures, index).tolist() == np.bincount(labels, minlength=6).tolist()
        assert weak.tags(pictures, index).tolist() == (np.bincount(labels, minlength=6) > 0).tolist()
        assert [b.label for b in weak.boxes(pictures, index)] == labels.tolist()
        easy = weak.boxes(pictures, index, difficult=False)
        assert easy == [box for box in pictures.objects(index) if not box.difficult]


def test_tags_come_from_the_table_when_there_is_no_annotation(copy):
    pictures = VocSet(copy, "val")
    wanted = weak.tags(pictures, 0)
    pictures.annotation_path(0).unlink()
    with pytest.raises(ValueError, match=f"{pictures.names[0]}.xml: missing and .*tags.csv has no row"):
        weak.tags(pictures, 0)
    table = pictures.folder / "ImageSets/Main/tags.csv"
    row = ",".join(str(int(value)) for value in wanted)
    table.write_text(f"image,{','.join(pictures.classes)}\n{pictures.names[0]},{row}\n")
    weak._tag_table.cache_clear()
    assert weak.tags(pictures, 0).tolist() == wanted.tolist()
    table.write_text(f"image,unicorn\n{pictures.names[0]},1\n")
    weak._tag_table.cache_clear()
    with pytest.raises(ValueError, match=r"tags.csv: tag 'unicorn' is not in the class list"):
        weak.tags(pictures, 0)


def test_salient_view(drawn):
    one = SalientView(open_duts(drawn))
    assert {name for name in dir(one) if not name.startswith("_")} == {"names", "image", "mask"}
    assert len(one) == 6 and one.mask(0).shape == one.image(0).shape[:2]
