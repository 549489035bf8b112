"""Where things lie: the project's root, its params and its outputs."""

import os
from pathlib import Path


def root() -> Path:
    """The project's folder: $WEAKSEG_ROOT, or the nearest with pyproject.toml above the package, then above the cwd."""
    if given := os.environ.get("WEAKSEG_ROOT"):
        return Path(given).expanduser().resolve()
    for start in (Path(__file__).resolve(), Path.cwd().resolve() / "here"):
        for folder in start.parents:
            if (folder / "pyproject.toml").is_file() and (folder / "params").is_dir():
                return folder
    raise FileNotFoundError(
        "no folder with pyproject.toml and params/ above the package or here; set WEAKSEG_ROOT to it"
    )


def outputs() -> Path:
    """Folder of everything a run makes: $WEAKSEG_OUTPUTS, or outputs/ in the project."""
    given = os.environ.get("WEAKSEG_OUTPUTS")
    return Path(given).expanduser().resolve() if given else root() / "outputs"


def published(profile: str) -> Path:
    """Folder of our own committed results of one profile; it belongs to the project, wherever runs are written."""
    return root() / "outputs" / "published" / profile


def params_file(profile: str, paper: str) -> Path:
    """params/<profile>/<paper>.yaml; FileNotFoundError naming the profiles there are when it is missing."""
    file = root() / "params" / profile / f"{paper}.yaml"
    if not file.is_file():
        there = sorted(p.parent.name for p in (root() / "params").glob(f"*/{paper}.yaml"))
        there = [name for name in there if name not in ("reported", "claims")]
        raise FileNotFoundError(f"{file}: no such file; profiles of '{paper}' are: {', '.join(there) or 'none'}")
    return file


def papers(profile: str) -> list[str]:
    """Ids of the papers that have results in outputs/<profile>, in alphabetical order."""
    return sorted(
        p.name for p in (outputs() / profile).glob("*") if (p / "tables").is_dir() or (p / "records").is_dir()
    )


def write_text(file: Path, text: str) -> None:
    """Write through a temporary neighbour and rename, so that no reader ever sees half a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)
