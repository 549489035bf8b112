"""Downloads from a server on this machine: broken connection, wrong checksum, hostile archive, full disk."""

import hashlib
import http.server
import io
import re
import shutil
import tarfile
import threading
import zipfile
from types import SimpleNamespace

import pytest

from weakseg.data import archives, fetch
from weakseg.data.archives import download, extract, inspect, verify
from weakseg.data.fetch import Source

CONTENT = bytes(range(256)) * 4000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves server.files; breaks off the first server.breaks answers half way; knows ranges unless server.plain."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        body = server.files.get(self.path)
        if body is None:
            return self.send_error(404)
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(begin[1]) if begin and not server.plain else 0
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        if server.breaks:
            server.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.files, one.asked, one.breaks, one.plain = {"/a.bin": CONTENT}, [], 0, False
    one.url = f"http://127.0.0.1:{one.server_port}"
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.shutdown()
    one.server_close()


def test_a_broken_connection_goes_on_where_it_stopped(server, tmp_path):
    server.breaks = 3
    download(f"{server.url}/a.bin", tmp_path / "a.bin", wait=0)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    starts = [int(asked[6:-1]) if asked else 0 for asked in server.asked]
    assert starts == [0, 512_000, 768_000, 896_000]
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_later_call_goes_on_too_and_a_whole_part_needs_no_byte(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1000])
    download(f"{server.url}/a.bin", tmp_path / "a.bin", wait=0)
    (tmp_path / "b.part").write_bytes(CONTENT)
    download(f"{server.url}/a.bin", tmp_path / "b", wait=0)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b").read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", f"bytes={len(CONTENT)}-"]


def test_a_part_longer_than_the_file_begins_anew(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    download(f"{server.url}/a.bin", tmp_path / "a.bin", wait=0)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.plain, server.breaks = True, 1
    download(f"{server.url}/a.bin", tmp_path / "a.bin", wait=0)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_it_gives_up_with_one_line_and_keeps_what_it_has(server, tmp_path):
    server.breaks = 99
    with pytest.raises(ConnectionError, match=r"gave up after 2 tries .*run the command again, 768,000 bytes are kept"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", tries=2, wait=0)
    assert (tmp_path / "a.bin.part").stat().st_size == 768_000
    with pytest.raises(ConnectionError, match=r"none.bin: the server says 404; .*--base"):
        download(f"{server.url}/none.bin", tmp_path / "none.bin", wait=0)
    with pytest.raises(ValueError, match="only http and https"):
        download("file:///etc/hostname", tmp_path / "x")


def test_a_wrong_checksum_deletes_the_file(tmp_path):
    path = tmp_path / "a.bin"
    for kind in ("md5", "sha256"):
        path.write_bytes(CONTENT)
        verify(path, f"{kind}:{hashlib.new(kind, CONTENT).hexdigest()}")
        with pytest.raises(ValueError, match=f"a.bin: {kind} is .* should be 00; deleted, fetch it again"):
            verify(path, f"{kind}:00")
        assert not path.exists()


def tar_with(path, **member):
    with tarfile.open(path, "w:gz") as tar:
        good = tarfile.TarInfo("good.txt")
        good.size = 2
        tar.addfile(good, io.BytesIO(b"ok"))
        info = tarfile.TarInfo(member.pop("name"))
        for key, value in member.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(b"x" * info.size))
    return path


@pytest.mark.parametrize(
    ("member", "why"),
    [
        ({"name": "../evil"}, "leads out of the folder"),
        ({"name": "a/../../evil"}, "leads out of the folder"),
        ({"name": "/etc/evil"}, "absolute path"),
        ({"name": "..\\evil"}, "leads out of the folder"),
        ({"name": "C:\\evil"}, "absolute path"),
        ({"name": "link", "type": tarfile.SYMTYPE, "linkname": "/etc"}, "link or a device"),
        ({"name": "link", "type": tarfile.LNKTYPE, "linkname": "good.txt"}, "link or a device"),
        ({"name": "pipe", "type": tarfile.FIFOTYPE}, "link or a device"),
    ],
)
def test_hostile_tar_writes_nothing(tmp_path, member, why):
    archive = tar_with(tmp_path / "x.tgz", **member)
    with pytest.raises(ValueError, match=rf"x.tgz: member .* {why}.*nothing was extracted"):
        extract(archive, tmp_path / "out", 10**6)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["x.tgz"]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "link"])
def test_hostile_zip_writes_nothing(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("good.txt", "ok")
        info = zipfile.ZipInfo(name)
        info.external_attr = (0o120777 if name == "link" else 0o100644) << 16
        archive.writestr(info, "/etc")
    with pytest.raises(ValueError, match="nothing was extracted"):
        extract(tmp_path / "x.zip", tmp_path / "out", 10**6)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["x.zip"]


def test_bombs_and_broken_archives(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**7))
    with pytest.raises(ValueError, match=r"bomb.zip: more than .* 1,000,000 bytes; nothing was extracted"):
        extract(tmp_path / "bomb.zip", tmp_path / "out", 10**6)
    many = tar_with(tmp_path / "many.tgz", name="b")
    monkeypatch.setattr(archives, "MEMBERS", 1)
    with pytest.raises(ValueError, match="more than 1 members"):
        inspect(many, 10**6)
    monkeypatch.undo()
    for name in ("many.tgz", "bomb.zip"):
        path = tmp_path / f"cut-{name}"
        path.write_bytes((tmp_path / name).read_bytes()[:60])
        with pytest.raises(ValueError, match=f"{path.name}: truncated or no archive"):
            inspect(path, 10**9)
    assert not (tmp_path / "out").exists()


def packed(kind):
    """A small good archive, as bytes."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("images/1.txt", "one")
    else:
        with tarfile.open(fileobj=out, mode="w") as archive:
            info = tarfile.TarInfo("VOCdevkit/VOC2012/1.txt")
            info.size = 3
            archive.addfile(info, io.BytesIO(b"one"))
    return out.getvalue()


@pytest.fixture
def small(server, monkeypatch):
    """Sources of two small archives on the server: one with a checksum, one without."""
    tar, zipped = packed("tar"), packed("zip")
    server.files |= {"/v.tar": tar, "/zips/images.zip": zipped}
    md5 = hashlib.md5(tar).hexdigest()
    sources = {
        "voc2012": (Source("http://nowhere.invalid/", "v.tar", f"md5:{md5}", len(tar), 100_000),),
        "ecssd": (Source("http://nowhere.invalid/", "zips/images.zip", None, len(zipped), 100_000, "ECSSD"),),
    }
    monkeypatch.setattr(fetch, "SOURCES", sources)
    return server


def test_fetch_extracts_once_and_leaves_no_archive(small, tmp_path):
    small.breaks = 1
    (line,) = fetch.fetch("voc2012", tmp_path, base=small.url)
    assert line.startswith("v.tar: 1 members") and "WARNING" not in line
    assert (tmp_path / "VOCdevkit/VOC2012/1.txt").read_text() == "one"
    asked = len(small.asked)
    assert fetch.fetch("voc2012", tmp_path, base=small.url) == [f"voc2012: already there, below {tmp_path}"]
    assert len(small.asked) == asked and not list(tmp_path.rglob("*.tar*[!n]"))


def test_an_older_python_whose_tarfile_has_no_filter_extracts_too(small, tmp_path, monkeypatch):
    plain = tarfile.TarFile.extractall
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda opened, folder: plain(opened, folder))
    fetch.fetch("voc2012", tmp_path, base=small.url)
    assert (tmp_path / "VOCdevkit/VOC2012/1.txt").read_text() == "one"


def test_without_a_published_checksum_the_first_download_is_recorded(small, tmp_path):
    (line,) = fetch.fetch("ecssd", tmp_path, base=small.url)
    found = hashlib.sha256(small.files["/zips/images.zip"]).hexdigest()
    assert f"WARNING: no published checksum, this one was sha256:{found}" in line
    assert (tmp_path / "ECSSD/images/1.txt").is_file()
    (record,) = (tmp_path / "archives").iterdir()
    assert found in record.read_text()


def test_a_changed_archive_is_never_extracted(small, tmp_path):
    small.files["/v.tar"] = small.files["/v.tar"][:-1] + b"!"
    with pytest.raises(ValueError, match=r"v.tar: md5 is"):
        fetch.fetch("voc2012", tmp_path, base=small.url)
    assert not (tmp_path / "VOCdevkit").exists() and not list((tmp_path / "archives").iterdir())


def test_a_full_disk_is_found_before_the_download(small, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(OSError, match=r"0.2 GB needed, 0.0 GB free; make .* of room"):
        fetch.fetch("voc2012", tmp_path, base=small.url)
    assert not small.asked


def test_sets_behind_a_form_say_what_to_do(tmp_path):
    for name, said in (
        ("msra_b", "put the photos into"),
        ("ilso", "put the photos into"),
        ("duts_single", "DUTS-Single.txt"),
    ):
        (line,) = fetch.fetch(name, tmp_path)
        assert said in line
    with pytest.raises(ValueError, match="imagenet: not a data set; there are voc2012, sbd"):
        fetch.fetch("imagenet", tmp_path)


def test_the_table_of_sources_is_complete():
    for sources in fetch.SOURCES.values():
        for source in sources:
            assert source.base.startswith("http") and source.base.endswith("/") and source.unpacked > 0
            assert source.checksum is None or re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", source.checksum)
