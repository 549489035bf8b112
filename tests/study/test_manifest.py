"""The manifest: which stages serve which paper, and two runs of one stage."""

import pytest

from weakseg.study.manifest import behind, merged


def stage(key: str, *inputs: str, **more) -> dict:
    return {"path": f"runs/{key}", "key": key, "inputs": dict(enumerate(inputs)), "seconds": 1.0, **more}


def table(paper: str, *keys: str) -> dict:
    return {"paper": paper, "path": f"{paper}/tables/t.csv", "inputs": list(keys)}


def papers_of(found: list[dict]) -> dict[str, list[str]]:
    return {one["key"]: one["papers"] for one in found}


def test_stages_name_the_papers_whose_tables_rest_on_them_directly_or_not():
    stages = [stage("drawn"), stage("cam", "drawn"), stage("a", "cam"), stage("b", "cam"), stage("trial", "drawn")]
    found = behind({"outputs": [table("one", "a"), table("two", "b"), table("two")], "stages": stages})
    assert papers_of(found) == {"drawn": ["one", "two"], "cam": ["one", "two"], "a": ["one"], "b": ["two"]}


def test_a_published_stage_is_for_the_papers_that_it_names():
    stages = [
        stage("cam", papers=["one"]),
        stage("cam", seconds=9.0, papers=["two"]),
        stage("b", "cam", papers=["two"]),
    ]
    found = behind({"outputs": [table("two", "b")], "stages": stages})
    assert [(one["key"], one["seconds"]) for one in found] == [("cam", 9.0), ("b", 1.0)]
    again = {"outputs": [table("one", "cam"), table("two", "b")], "stages": stages}
    assert behind(again) == stages


def test_a_stage_whose_record_is_gone_is_passed_over():
    assert behind({"outputs": [table("one", "gone", "a")], "stages": [stage("a", "lost")]}) == [
        stage("a", "lost", papers=["one"])
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_one_run_serves_all_its_papers_and_two_runs_are_two_entries(turned):
    mine, theirs = stage("cam", papers=["one"]), stage("cam", papers=["two"])
    other = stage("cam", machine={"cpu": "another"}, papers=["three"])
    stages = [other, theirs, mine] if turned else [mine, theirs, other]
    assert merged(stages) == [stage("cam", papers=["one", "two"]), other]
