"""What a notebook borrows from another paper is part of its key."""

from weakseg.study import plan

OWN = "s = Session.open('community_learning', globals())"
BORROWS = "irn = Session.open('irn', {'profile': s.profile})"
RUN = plan.Run("community_learning", "baselines", "toy")


def cells(*texts: str) -> list[plan.Cell]:
    return [plan.Cell(number, text, False) for number, text in enumerate(texts, 1)]


def test_the_other_papers_that_a_notebook_opens_are_named():
    assert plan.others(RUN, cells(OWN, "print('irn')")) == []
    assert plan.others(RUN, cells(OWN, "%time 1", BORROWS, BORROWS)) == ["irn"]


def test_their_parameters_are_in_the_key_under_their_name():
    known = plan.parts(RUN)["parameter"]
    assert known["irn: walk.beta"] == plan.values(plan.Run("irn", "baselines", "toy"))["walk"]["beta"]
    assert known["img.size"] and "walk.beta" not in known
    assert "weakseg.papers.irn.params.IrnetParams" in plan.parts(RUN)["code"]


def test_a_notebook_that_borrows_nothing_keeps_its_key():
    assert not [name for name in plan.parts(plan.Run("irn", "ablations", "toy"))["parameter"] if ": " in name]
