"""Agreement: what counts as the same, and that a difference is loud but no failure."""

import shutil

import numpy as np
import pytest

from weakseg.study import agreement, places, report
from weakseg.study.agreement import AGREES, DIFFERS, MISSING, NEW, compare, counts, lines

REASONS = {"boxes": "no boxes", "walk & more": "not now", "CAM": "not now"}


def run_with(fake, **hits: dict[int, int]) -> None:
    names = {"cam": "CAM", "walk": "walk & more"}
    measured = [
        fake.measured(names[row], np.full(60, value), seed)
        for row, seeds in hits.items()
        for seed, value in seeds.items()
    ]
    fake.session().table("main", measured, REASONS)


def publish(fake) -> None:
    shutil.copytree(fake.home / "fake", places.published("toy") / "fake")


def test_cells_are_compared_seed_by_seed_within_the_tolerance(fake):
    run_with(fake, cam={0: 60, 1: 60, 2: 60}, walk={0: 80})
    publish(fake)
    run_with(fake, cam={0: 64, 1: 65, 3: 60})  # mIoU 30 -> 32, 32.5; seed 2 was not asked for, the walk is missing
    cells = compare("toy", ["fake"]).set_index(["row", "seed"])
    assert cells["state"].to_dict() == {
        ("CAM", 0): AGREES,
        ("CAM", 1): DIFFERS,
        ("CAM", 3): NEW,
        ("walk & more", 0): MISSING,
    }
    assert cells.loc[("CAM", 1), "difference"] == 2.5 and cells.loc[("CAM", 1), "tolerance"] == 2.0
    assert counts(cells) == {AGREES: 1, DIFFERS: 1, MISSING: 1, NEW: 1}


def test_it_prints_how_many_agree_and_which_do_not_and_ends_well(fake, capsys, monkeypatch):
    run_with(fake, cam={0: 60}, walk={0: 80})
    publish(fake)
    run_with(fake, cam={0: 90}, walk={0: 80})
    monkeypatch.setattr("sys.argv", ["agreement", "--profile", "toy"])
    assert agreement.main() == 0
    said = capsys.readouterr().out
    assert "1 of 2 cells agree; differs: 1" in said
    assert "DIFFERS: fake main 'CAM' mIoU seed 0: ours 45.00, published 30.00 (tolerance 2)" in said


def test_nothing_published_is_said(fake):
    run_with(fake, cam={0: 60})
    assert lines(compare("toy", ["fake"])) == [
        "agreement with the published results: nothing is published for these papers and seeds"
    ]


def test_a_missing_tolerance_names_the_key(fake):
    (fake.root / "params/tolerance.yaml").write_text("profiles:\n  toy:\n    default: {AP50: 1.0}\n")
    run_with(fake, cam={0: 60})
    with pytest.raises(ValueError, match=r"params/tolerance.yaml: toy.fake: no tolerance for 'mIoU'; add it there"):
        compare("toy", ["fake"])


def test_a_profile_of_ones_own_needs_no_tolerances(fake):
    """The README's way to other pictures: a params file in params/mine, and nothing else."""
    mine = fake.root / "params/mine/fake.yaml"
    mine.parent.mkdir()
    mine.write_text((fake.root / "params/toy/fake.yaml").read_text().replace("profile: toy", "profile: mine"))
    run_with(fake, cam={0: 60})
    shutil.copytree(fake.home, fake.home.parent / "mine")
    cells = compare("mine", ["fake"])
    assert set(cells["state"]) == {NEW} and cells["tolerance"].isna().all()
    assert report.write("mine", ["fake"], fake.home.parent / "mine").endswith(
        "nothing is published for these papers and seeds"
    )


def test_a_papers_own_tolerance_goes_before_the_default(fake):
    (fake.root / "params/tolerance.yaml").write_text(
        "profiles:\n  toy:\n    default: {mIoU: 1.0}\n    fake: {mIoU: 20.0}\n"
    )
    assert agreement.tolerances().points("toy", "fake", "mIoU") == 20
    assert agreement.tolerances().points("toy", "another", "mIoU") == 1


def test_the_project_has_tolerances_for_every_metric_and_profile(monkeypatch):
    monkeypatch.delenv("WEAKSEG_ROOT", raising=False)
    allowed = agreement.tolerances()
    for profile in ("toy", "demo", "voc_animals", "gpu", "paper"):
        assert all(allowed.points(profile, "irn", metric) > 0 for metric in ("AP50", "AP70", "mIoU"))
