import re
from pathlib import Path

import pytest

from weakseg.data.__main__ import main, parser
from weakseg.data.voc import VocSet


def test_draw_takes_params_by_name(tmp_path, capsys):
    small = [
        "size=64",
        "n_trainaug=3",
        "n_train=1",
        "n_val=1",
        "n_tune=1",
        "n_salient=0",
        "n_salient_test=0",
        "n_ilso=0",
    ]
    assert main(["draw", str(tmp_path), "--set", *small]) == 0
    assert VocSet(tmp_path, "trainaug").image(0).shape == (64, 64, 3)
    assert capsys.readouterr().out == f"drawn below {tmp_path}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["draw", "x", "--set", "size"], "--set size: write NAME=VALUE"),
        (["draw", "x", "--set", "sise=64"], "sise"),
        (
            ["fetch", "voc2012", "sbd"],
            "sbd: is a data set, not a folder; fetch one set at a time: fetch voc2012 FOLDER",
        ),
        (["check", "/nowhere"], "/nowhere: none of VOCdevkit"),
        (["build", "trainaug", "/nowhere"], "/nowhere/VOCdevkit/VOC2012: missing"),
        (["derive", "voc_animals", "/nowhere", "x"], "/nowhere/VOCdevkit/VOC2012: missing"),
    ],
)
def test_a_mistake_ends_with_one_line_and_status_1(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


README = Path(__file__).parents[2] / "README.md"


def test_every_data_command_of_the_readme_is_one_that_the_parser_takes():
    commands = re.findall(r"python -m weakseg\.data ([^#`\n]+)", README.read_text())
    assert len(commands) >= 8
    for command in commands:
        parser().parse_args(command.split())


def test_an_unknown_data_set_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fetch", "imagenet", "x"])
    assert stop.value.code == 2 and "voc2012" in capsys.readouterr().err
