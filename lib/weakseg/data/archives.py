"""Getting an archive safely: resumable download, checksum, disk space, and an extraction that never leaves its
folder.
"""

import hashlib
import http.client
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

CHUNK = 1 << 20
MEMBERS = 500_000  # more files than any of the sets holds
TRIES = 6
MARGIN = 200_000_000  # bytes left free on the disk


def download(url: str, path: Path, *, tries: int = TRIES, wait: float = 1.0, timeout: float = 60) -> None:
    """Download `url` to `path` by way of `path`.part; a broken connection, now or in an earlier call, goes on where
    it stopped.

    ValueError for other schemes than http(s); ConnectionError with one line when all tries fail.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url}: only http and https addresses are fetched")
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(tries):
        before = _size(part)
        try:
            _continue(url, part, timeout)
            part.replace(path)
            return
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410):
                raise ConnectionError(
                    f"{url}: the server says {error.code}; look for a newer address and pass it with --base"
                ) from None
            last = error
        if _size(part) == before:  # no progress: wait longer each time
            time.sleep(wait * 2**attempt)
    raise ConnectionError(
        f"{url}: gave up after {tries} tries ({last}); run the command again, {_size(part):,} bytes are kept"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _continue(url: str, part: Path, timeout: float) -> None:
    """One connection: ask for the bytes after those in `part` and append them.

    IncompleteRead when the server stops early.
    """
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range", "") == f"bytes */{have}":
            return  # nothing is left to ask for
        if error.code == 416:
            part.unlink()  # longer than the file at the address: begin anew
        raise
    with answer:
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if resumed else 0
        left = answer.headers.get("Content-Length")
        total = have + int(left) if left else None
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem) as bar,
        ):
            while block := answer.read(CHUNK):
                file.write(block)
                bar.update(len(block))
    if total is not None and _size(part) < total:
        raise http.client.IncompleteRead(b"", total - _size(part))


def digest(path: Path, kind: str = "md5") -> str:
    """Hexadecimal checksum of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def verify(path: Path, checksum: str) -> None:
    """Compare with "md5:..." or "sha256:..."; a file that differs is deleted and ValueError says so."""
    kind, wanted = checksum.split(":")
    found = digest(path, kind)
    if found != wanted:
        path.unlink()
        raise ValueError(
            f"{path.name}: {kind} is {found}, should be {wanted}; deleted, fetch it again "
            "(or the file at the address has changed)"
        )


def ask_disk(folder: Path, needed: int) -> None:
    """OSError before anything is written when `folder`'s disk has less than `needed` bytes and a margin."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN:
        lack = (needed + MARGIN - free) / 1e9
        raise OSError(
            f"{folder}: {(needed + MARGIN) / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free; "
            f"make {lack:.1f} GB of room or take another disk"
        )


def _refuse(archive: Path, name: str, why: str) -> None:
    raise ValueError(f"{archive.name}: member {name!r} {why}; nothing was extracted, this is not the official archive")


def check_member(archive: Path, name: str, regular: bool) -> None:
    """ValueError for a member that could be written outside the folder: absolute, with .., a link or a device."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or (path.parts and path.parts[0].endswith(":")):
        _refuse(archive, name, "has an absolute path")
    if ".." in path.parts:
        _refuse(archive, name, "leads out of the folder")
    if not regular:
        _refuse(archive, name, "is a link or a device")


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile | zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else tarfile.open(archive) as opened:
            yield opened
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{archive.name}: truncated or no archive ({error}); delete it and fetch again") from None


def _members(opened: tarfile.TarFile | zipfile.ZipFile) -> Iterator[tuple[str, int, bool]]:
    """(name, bytes, regular file or folder) of every member."""
    if isinstance(opened, zipfile.ZipFile):
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            yield info.filename, info.file_size, kind in (0, stat.S_IFREG, stat.S_IFDIR)
    else:
        for info in opened:
            yield info.name, info.size, info.isreg() or info.isdir()


def inspect(archive: Path, most_bytes: int) -> tuple[int, int]:
    """(members, bytes) after checking every member's name, kind and the totals. Nothing is written."""
    count = total = 0
    with _opened(archive) as opened:
        for name, size, regular in _members(opened):
            check_member(archive, name, regular)
            count, total = count + 1, total + size
            if count > MEMBERS or total > most_bytes:
                raise ValueError(
                    f"{archive.name}: more than {MEMBERS:,} members or {most_bytes:,} bytes; nothing was extracted, "
                    "this is not the official archive"
                )
    return count, total


def extract(archive: Path, folder: Path, most_bytes: int) -> int:
    """Extract after `inspect`, with the disk asked; returns the number of members."""
    count, total = inspect(archive, most_bytes)
    ask_disk(folder, total)
    with _opened(archive) as opened:
        if isinstance(opened, zipfile.ZipFile):
            opened.extractall(folder)
        else:
            # Python before 3.11.4 (Debian 12 has 3.11.2) knows no filter; every member was judged above
            known = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            opened.extractall(folder, **known)
    return count
