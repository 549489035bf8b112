"""The two package lists say the same, and what is installed is what they say."""

import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
spec = spec_from_file_location("pins", ROOT / "tools" / "pins.py")
tool = module_from_spec(spec)
spec.loader.exec_module(tool)


def lines() -> list[str]:
    return (ROOT / "requirements.txt").read_text().split()


def test_conda_and_pip_lists_are_in_step():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    by_pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    assert by_pip == [*lines(), "-e ."]
    assert {"pip", "cxx-compiler", "make"} < {entry for entry in conda if isinstance(entry, str)}


def test_conda_python_is_one_that_the_project_takes():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(entry for entry in conda if isinstance(entry, str) and entry.startswith("python="))
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert needs == ">=3.11,<3.14" and python in {"python=3.11", "python=3.12", "python=3.13"}


def test_every_requirement_is_pinned_once():
    found = tool.pins("\n".join(lines()))
    assert len(found) == len(lines()) == len({name.lower() for name in found})


def test_the_installed_packages_are_the_pinned_ones():
    assert tool.difference(tool.pins("\n".join(lines()))) is None


def test_a_package_that_differs_is_named():
    assert tool.difference({"numpy": "0.1"}).startswith("numpy is ")
    assert tool.difference({"nothing-of-this-name": "1"}) == "nothing-of-this-name 1 is not installed"


def shell(folder: Path, path: str, **variables: str) -> subprocess.CompletedProcess:
    command = [". ./tools/setup.sh && command -v python"]
    return subprocess.run(
        ["/bin/sh", "-c", *command], cwd=folder, env={"PATH": path, **variables}, capture_output=True, text=True
    )


def project(folder: Path, *commands: str) -> str:
    """A bare project in `folder` and a PATH on which there are these commands only."""
    (folder / "tools").mkdir()
    for name in ("tools/setup.sh", "tools/pins.py", "requirements.txt", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "bin").mkdir()
    for name in ("sh", "cat", "sha256sum", "df", "awk", "mkdir", "rm", "flock", "head", "tail", "grep", *commands):
        found = subprocess.run(["/bin/sh", "-c", f"command -v {name}"], capture_output=True, text=True).stdout.strip()
        (folder / "bin" / name).symlink_to(found)
    return str(folder / "bin")


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_a_missing_compiler_is_one_line(tmp_path):
    done = shell(tmp_path, project(tmp_path))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "a C++ compiler is needed to build pydensecrf2; install one: sudo apt install g++" in done.stderr


def test_an_old_python_is_one_line(tmp_path):
    path = project(tmp_path, "g++")
    write(tmp_path / "bin" / "python3", 'case "$1" in -V) echo Python 3.9.2;; *) exit 1;; esac')
    done = shell(tmp_path, path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "Python 3.11, 3.12 or 3.13 is needed (python3 here: Python 3.9.2)" in done.stderr


def test_a_missing_venv_module_is_one_line(tmp_path):
    path = project(tmp_path, "g++")
    write(tmp_path / "bin" / "python3.12", 'case "$2" in *venv*) exit 1;; esac')
    done = shell(tmp_path, path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "install it: sudo apt install python3.12-venv" in done.stderr


def test_too_little_disk_is_one_line(tmp_path):
    path = project(tmp_path, "g++")
    (tmp_path / "bin" / "df").unlink()
    write(tmp_path / "bin" / "df", "echo Filesystem; echo /dev/x 9 9 2097152 9% /")
    write(tmp_path / "bin" / "python3.12", "exit 0")
    done = shell(tmp_path, path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "need 8 GB of disk and 2 GB are free here" in done.stderr


# A python that stands for all: as `-m venv` it makes .venv, as `-m pip` it notes an install. It is older than 3.13.
PYTHON = """case "$*" in
*"version_info < (3, 13)"*) exit 1;;
*"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo made >>log;;
*"-m pip install"*) echo installed >>log; [ -z "$BROKEN" ] || { echo "ERROR: no space"; exit 1; };;
*pins.py*) exit 1;;
esac"""


def test_a_venv_is_made_once_mended_when_half_made_and_brought_up_to_date(tmp_path):
    path = project(tmp_path, "g++", "cp")
    write(tmp_path / "bin" / "python3.12", PYTHON)
    log = tmp_path / "log"

    broken = shell(tmp_path, path, BROKEN="1")
    assert broken.returncode == 1 and "the install failed: ERROR: no space" in broken.stderr.splitlines()[-1]
    done = shell(tmp_path, path)
    assert done.returncode == 0 and done.stdout.strip() == str(tmp_path / ".venv/bin/python"), done.stderr
    assert log.read_text() == "made\ninstalled\n" * 2  # the half-made one was thrown away
    again = shell(tmp_path, path)
    assert again.returncode == 0 and not again.stderr and log.read_text() == "made\ninstalled\n" * 2
    (tmp_path / "requirements.txt").write_text("numpy==9.9\n")
    assert shell(tmp_path, path).returncode == 0
    assert log.read_text() == "made\ninstalled\n" * 2 + "installed\n"
    (tmp_path / ".venv" / "weakseg.stamp").write_text("/another/folder\n")  # a .venv that was copied or moved is dead
    assert shell(tmp_path, path).returncode == 0
    assert log.read_text() == "made\ninstalled\n" * 2 + "installed\n" + "made\ninstalled\n"


def test_a_conda_environment_is_used_when_it_has_the_pins_and_left_aside_otherwise(tmp_path):
    path = project(tmp_path, "g++", "cp")
    write(tmp_path / "bin" / "python3.12", PYTHON)
    write(tmp_path / "conda" / "bin" / "python", "exit 0")
    done = shell(tmp_path, path, CONDA_PREFIX=str(tmp_path / "conda"))
    assert done.stdout.strip() == str(tmp_path / "conda/bin/python") and not (tmp_path / ".venv").exists()
    write(tmp_path / "conda" / "bin" / "python", "echo numpy is 1.0, not 2.0; exit 1")
    done = shell(tmp_path, path, CONDA_PREFIX=str(tmp_path / "conda"))
    assert done.stdout.strip() == str(tmp_path / ".venv/bin/python")
    assert "the active conda environment is left aside: numpy is 1.0, not 2.0" in done.stderr


def test_the_commands_name_tools_that_exist():
    """Each module that make calls is there and answers to --help."""
    text = (ROOT / "Makefile").read_text()
    names = {word for word in text.split() if word.startswith("weakseg.")}
    assert names >= {"weakseg.study.status", "weakseg.study.agreement", "weakseg.study.publish"}
    for name in names:
        done = subprocess.run([sys.executable, "-m", name, "--help"], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0 and "--profile" in done.stdout, f"{name}: {done.stderr}"


def test_on_python_3_13_pydensecrf2_is_built_apart_with_a_cython_that_knows_it(tmp_path):
    path = project(tmp_path, "g++", "cp")
    new = PYTHON.replace('*"version_info < (3, 13)"*) exit 1;;\n', "").replace("echo installed", 'echo "$*"')
    write(tmp_path / "bin" / "python3.13", new)
    assert shell(tmp_path, path).returncode == 0
    tools, crf, rest = (tmp_path / "log").read_text().splitlines()[1:]
    assert "Cython>=3" in tools and "--no-build-isolation --no-deps pydensecrf2==" in crf and "requirements.txt" in rest
