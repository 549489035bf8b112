import pytest

from weakseg.data import sets
from weakseg.data.sets import DataParams, covering, data_root, open_set, pictures
from weakseg.study.stages import Store, external


def test_drawn_splits_share_no_picture(drawn, tiny):
    data = DataParams(menagerie=tiny)
    names = {split: set(open_set(drawn, data, split).names) for split in ("trainaug", "train", "val", "tune")}
    assert names["train"] < names["trainaug"]
    assert not names["trainaug"] & names["val"] and not names["tune"] & (names["trainaug"] | names["val"])
    assert open_set(drawn, data, "val_instances").names == open_set(drawn, data, "val").names


def test_tune_pictures_leave_every_other_split(drawn):
    data = DataParams(layout="voc", root=str(drawn), splits={"tune": "val"}, tune_take=4, tune_from="train")
    tune = open_set(external(drawn), data, "tune")
    assert len(tune) == 4 and tune.names == open_set(drawn, data, "tune").names
    assert set(tune.names) < set(sets.split_names(drawn, "train"))
    for split, count in (("trainaug", 20), ("train", 6), ("val", 8)):
        left = open_set(drawn, data, split)
        assert len(left) == count and not set(left.names) & set(tune.names)
    too_many = data.model_copy(update={"tune_take": 11})
    with pytest.raises(ValueError, match=r"data.tune_take: 11 pictures wanted, but the list train has 10"):
        open_set(drawn, too_many, "train")


def test_trainaug_stands_for_the_splits_inside_it(drawn, tiny):
    data = DataParams(menagerie=tiny)
    found = {split: covering(external(drawn), data, split) for split in ("trainaug", "train", "val", "tune")}
    assert found == {"trainaug": "trainaug", "train": "trainaug", "val": "val", "tune": "tune"}
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
    assert pictures(store, DataParams(layout="voc")).path == drawn


def test_a_root_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("WEAKSEG_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"data.root: not set; .*WEAKSEG_DATA"):
        data_root(DataParams(layout="voc"))
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        data_root(DataParams(layout="voc", root=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("wrong", [{"menagerie": None}, {"root": "x"}, {"tune_take": 3}])
def test_params_that_do_not_fit_together_are_refused(wrong, tiny):
    with pytest.raises(ValueError, match="menagerie|root"):
        DataParams(**{"menagerie": tiny} | wrong)
