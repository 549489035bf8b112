"""Box proposals: which boxes stay, and what stands in for none."""

import json

import numpy as np
import pytest

from weakseg.data.sets import open_set
from weakseg.data.weak import BoxView
from weakseg.ops import box_proposals
from weakseg.ops.box_proposals import BoxProposalParams, chosen_boxes, judge_recall, load_boxes, search_boxes
from weakseg.study.stages import Artifact


def squares(*sides: int) -> np.ndarray:
    return np.array([[0, 0, side, side] for side in sides], np.float32)


def test_small_and_similar_boxes_go():
    """A square of 95 lies in one of 100 with IoU 0.9025."""
    found = squares(100, 95, 50, 10)
    assert chosen_boxes(found, BoxProposalParams(distinct=0.9)).tolist() == squares(100, 50).tolist()
    assert chosen_boxes(found, BoxProposalParams(smallest=5)).tolist() == found.tolist()


def test_the_limit_keeps_every_size():
    found = squares(*range(100, 20, -1))
    kept = chosen_boxes(found, BoxProposalParams(limit=5))[:, 2]
    assert kept.tolist() == [100, 80, 60, 41, 21]


def test_nothing_found_gives_the_whole_picture(tmp_path):
    assert chosen_boxes(np.zeros((0, 4), np.float32), BoxProposalParams()).shape == (0, 4)
    (tmp_path / "boxes").mkdir()
    np.savez(tmp_path / "boxes/a.npz", boxes=np.zeros((0, 4), np.float32), size=np.array([30, 40]))
    assert load_boxes(Artifact(tmp_path, "k"), "a").tolist() == [[0, 0, 40, 30]]


def test_stage_says_which_pictures_have_none(drawn, monkeypatch, capsys):
    _, pictures, data = drawn
    monkeypatch.setattr(box_proposals, "selective_search", lambda image, mode: np.zeros((0, 4), np.float32))
    monkeypatch.setenv("WEAKSEG_THREADS", "1")
    folder = pictures.path.parent / "none"
    folder.mkdir()
    search_boxes(folder, pictures=pictures, data=data, split="val", boxes=BoxProposalParams())
    assert "4 pictures without a box" in capsys.readouterr().out
    assert json.loads((folder / "counts.json").read_text()) == {"pictures": 4, "empty": 4, "mean": 0, "most": 0}


def test_recall_of_drawn_pictures(drawn):
    """Brute force over every pair of a true box and a proposal."""
    store, pictures, data = drawn
    how = BoxProposalParams(mode="single", smallest=8, limit=60)
    found = store(search_boxes, pictures=pictures, data=data, split="val", boxes=how)
    said = json.loads(
        (store(judge_recall, proposals=found, pictures=pictures, data=data, split="val") / "recall.json").read_text()
    )
    view, hits, total = BoxView(open_set(pictures, data, "val")), 0, 0
    for index, name in enumerate(view.names):
        for box in view.boxes(index):
            total += 1
            best = 0.0
            for x0, y0, x1, y1 in load_boxes(found, name).tolist():
                both = max(0, min(x1, box.x1) - max(x0, box.x0)) * max(0, min(y1, box.y1) - max(y0, box.y0))
                union = (x1 - x0) * (y1 - y0) + (box.x1 - box.x0) * (box.y1 - box.y0) - both
                best = max(best, both / union)
            hits += best >= 0.5
    assert said["objects"] == total and said["recall50"] == pytest.approx(100 * hits / total)
    assert 0 < said["mean"] <= 60
