import numpy as np
import pytest

from weakseg.data import coco, sets, weak
from weakseg.data.sets import DataParams, covering, data_root, listed_names, open_set, pictures
from weakseg.data.weak import BoxView, CountView, MaskView, TagView
from weakseg.study import counts
from weakseg.study.stages import Store, external


def test_drawn_splits_share_no_picture(drawn, tiny):
    data = DataParams(menagerie=tiny)
    names = {split: set(open_set(drawn, data, split).names) for split in ("trainaug", "train", "val", "tune")}
    assert names["train"] < names["trainaug"]
    assert not names["trainaug"] & names["val"] and not names["tune"] & (names["trainaug"] | names["val"])
    assert open_set(drawn, data, "val_instances").names == open_set(drawn, data, "val").names


@pytest.mark.parametrize(("layout", "train"), [("voc", 10), ("coco", 12)])
def test_tune_pictures_leave_every_other_split(drawn, monkeypatch, layout, train):
    monkeypatch.setattr(coco, "N_TRAIN", 12)
    data = DataParams(layout=layout, root=str(drawn), splits={"tune": "val"}, tune_take=4, tune_from="train")
    tune = open_set(external(drawn), data, "tune")
    assert len(tune) == 4 and tune.names == open_set(drawn, data, "tune").names
    assert set(tune.names) < set(listed_names(drawn, data, "train"))
    for split, count in (("trainaug", 20), ("train", train - 4), ("val", 8)):
        left = open_set(drawn, data, split)
        assert len(left) == count and not set(left.names) & set(tune.names)
    too_many = data.model_copy(update={"tune_take": train + 1})
    with pytest.raises(ValueError, match=rf"tune_take: {train + 1} pictures wanted, but the list train has {train}"):
        open_set(drawn, too_many, "train")


# ---------------------------------------------------------------- one set in two layouts


@pytest.fixture(params=["trainaug", "train", "val", "val_instances"])
def split(request):
    return request.param


def in_layout(drawn, layout, split, classes=None):
    """Splits of the same pictures: what the lists call train differs between the layouts."""
    return open_set(
        drawn, DataParams(layout=layout, root=str(drawn), classes=classes, splits={"train": "trainaug"}), split
    )


@pytest.mark.parametrize("layout", ["voc", "coco"])
@pytest.mark.parametrize("chosen", [None, (4, 1)])
def test_what_holds_for_a_set_in_either_layout(drawn, tiny, layout, split, chosen):
    classes = None if chosen is None else tuple(tiny.class_names[label] for label in chosen)
    opened = in_layout(drawn, layout, split, classes)
    assert opened.classes == (classes or tiny.class_names) and len(opened) == len(opened.names) > 0
    for index in range(len(opened)):
        image, semantic, (masks, labels) = opened.image(index), opened.semantic(index), opened.instances(index)
        assert image.shape == (60, 72, 3) and image.dtype == np.uint8 and not image.flags.writeable
        assert opened.image_path(index).is_file() and opened.annotation_path(index).is_file()
        assert semantic.shape == (60, 72) and semantic.dtype == np.uint8 and opened.has_instances(index)
        assert masks.shape == (len(labels), 60, 72) and masks.dtype == bool
        assert set(np.unique(semantic)) <= {0, 255, *range(1, len(opened.classes) + 1)}
        assert all((semantic[mask] == label + 1).all() for mask, label in zip(masks, labels, strict=True))
        boxes = weak.boxes(opened, index)
        assert [box.label for box in boxes] == labels.tolist()
        for mask, box in zip(masks, boxes, strict=True):
            assert mask.sum() == mask[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)].sum()
        assert weak.count(opened, index).tolist() == np.bincount(labels, minlength=len(opened.classes)).tolist()
        assert weak.tags(opened, index).tolist() == (weak.count(opened, index) > 0).tolist()


@pytest.mark.parametrize("chosen", [None, (4, 1)])
def test_the_same_pictures_in_both_layouts(drawn, tiny, split, chosen):
    """But for the void border that the finer masks of VOC have, and for difficult objects, which COCO does not know."""
    classes = None if chosen is None else tuple(tiny.class_names[label] for label in chosen)
    one, other = (MaskView(in_layout(drawn, layout, split, classes)) for layout in ("voc", "coco"))
    bordered = in_layout(drawn, "voc", split)
    assert one.classes == other.classes and len(one) == len(other)
    for index in range(len(one)):
        known = bordered.semantic(index) < 255
        assert np.array_equal(one.image(index), other.image(index))
        assert np.array_equal(one.semantic(index)[known], other.semantic(index)[known])
        (masks, labels), (others, same) = one.instances(index), other.instances(index)
        assert labels.tolist() == same.tolist() and np.array_equal(masks[:, known], others[:, known])
        assert one.tags(index).tolist() == other.tags(index).tolist()
        corners = ([(b.label, b.x0, b.y0, b.x1, b.y1) for b in view.boxes(index)] for view in (one, other))
        assert next(corners) == next(corners)


def test_weak_views_of_coco_decode_no_mask(drawn, monkeypatch):
    def forbidden(*_):
        raise AssertionError("a mask was decoded")

    monkeypatch.setattr(coco, "decode", forbidden)
    opened = in_layout(drawn, "coco", "val")
    for view, work in ((TagView, ("tags",)), (BoxView, ("tags", "boxes")), (CountView, ("tags", "count"))):
        for index in range(len(opened)):
            assert all(len(getattr(view(opened), name)(index)) for name in work)
    with pytest.raises(AssertionError, match="decoded"):
        MaskView(opened).semantic(0)


# ---------------------------------------------------------------- lists and roots


def test_trainaug_stands_for_the_splits_inside_it(drawn, tiny):
    data = DataParams(menagerie=tiny)
    found = {split: covering(external(drawn), data, split) for split in ("trainaug", "train", "val", "tune")}
    assert found == {"trainaug": "trainaug", "train": "trainaug", "val": "val", "tune": "tune"}
    photographs = DataParams(layout="coco", root=str(drawn))
    found = {split: covering(external(drawn), photographs, split) for split in ("trainaug", "train", "val")}
    assert found == {"trainaug": "trainaug", "train": "trainaug", "val": "val"}
    other = DataParams(layout="voc", root=str(drawn), splits={"train": "val", "tune": "train"})
    assert covering(external(drawn), other, "train") == "train" and covering(external(drawn), other, "tune") == "tune"


def test_lists_are_chosen_by_name(drawn):
    data = DataParams(layout="voc", root=str(drawn), splits={"trainaug": "train", "val_instances": "tune"})
    assert open_set(drawn, data, "trainaug").names == sets.split_names(drawn, "train")
    assert open_set(drawn, data, "val_instances").names == sets.split_names(drawn, "tune")


def test_pictures_are_drawn_once_or_taken_from_disk(drawn, tmp_path, monkeypatch, tiny):
    small = tiny.model_copy(
        update={"n_trainaug": 3, "n_train": 1, "n_val": 1, "n_tune": 1, "n_salient": 0, "n_ilso": 0}
    )
    store, data = Store(tmp_path / "runs"), DataParams(menagerie=small)
    first = pictures(store, data)
    monkeypatch.setattr(sets, "draw_set", sets.draw_set)
    assert pictures(store, data) == first and len(open_set(first, data, "trainaug")) == 3
    monkeypatch.setenv("WEAKSEG_DATA", str(drawn))
    assert all(pictures(store, DataParams(layout=layout)).path == drawn for layout in ("voc", "coco"))


def test_a_root_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("WEAKSEG_DATA", raising=False)
    for layout, folder in (("voc", "VOCdevkit/"), ("coco", "coco/")):
        with pytest.raises(FileNotFoundError, match=rf"data.root: not set; .* holds {folder} .*WEAKSEG_DATA"):
            data_root(DataParams(layout=layout))
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        data_root(DataParams(layout="voc", root=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("wrong", [{"menagerie": None}, {"root": "x"}, {"tune_take": 3}])
def test_params_that_do_not_fit_together_are_refused(wrong, tiny):
    with pytest.raises(ValueError, match="menagerie|root"):
        DataParams(**{"menagerie": tiny} | wrong)


def test_sweeps_are_measured_on_what_is_set_aside_else_on_train(tiny):
    assert DataParams(menagerie=tiny).aside == "tune"
    assert DataParams(layout="voc", tune_take=5).aside == "tune"
    assert DataParams(layout="voc", splits={"tune": "mine"}).aside == "tune"
    official = DataParams(layout="voc")
    assert official.aside == "train"
    with pytest.raises(ValueError, match="tune_take: no pictures are set aside"):
        counts.names(official, "tune")
