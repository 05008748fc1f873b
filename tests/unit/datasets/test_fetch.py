"""Fetching from a server on this machine: what arrives whole is kept, and nothing else."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from adsp_mpi.cli.app import run
from adsp_mpi.datasets import fetch as fetching
from adsp_mpi.datasets.fetch import ARCHIVES, Archive, fetch
from adsp_mpi.errors import ConfigError

FILES = {"a.bin": b"a" * 1000, "b.bin": bytes(range(256)) * 5000}


def _packed(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


CONTENT = _packed({f"small/{name}": content for name, content in FILES.items()})


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT: whole, cut off, without its length, or damaged."""

    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path not in ("/whole", "/cut", "/no-length", "/damaged"):
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/no-length":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        content = CONTENT[:500] + bytes([CONTENT[500] ^ 1]) + CONTENT[501:] if self.path == "/damaged" else CONTENT
        self.wfile.write(content[:700] if self.path == "/cut" else content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def _archive(url: str, content: bytes = CONTENT) -> Archive:
    return Archive(url, hashlib.md5(content).hexdigest(), "small", tuple(FILES))


def _files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("path", "known"), [("whole", True), ("no-length", False)])
def test_fetch(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, known: bool) -> None:
    monkeypatch.setattr(fetching, "BLOCK", 1000)
    progress: list[tuple[int, int | None]] = []
    place = fetch(_archive(f"{server}/{path}"), tmp_path / "new", on_bytes=lambda *counts: progress.append(counts))
    assert place == tmp_path / "new" / "small"
    assert _files_in(place) == FILES
    assert list((tmp_path / "new").iterdir()) == [place]
    total = len(CONTENT) if known else None
    assert progress == [*((n, total) for n in range(1000, len(CONTENT), 1000)), (len(CONTENT), total)]


def test_another_address(server: str, tmp_path: Path) -> None:
    assert _files_in(fetch(_archive("http://no.such.host/"), tmp_path, url=f"{server}/whole")) == FILES


def test_what_is_there_is_not_fetched_again(server: str, tmp_path: Path) -> None:
    for _ in range(2):
        fetch(_archive(f"{server}/whole"), tmp_path)
    assert Handler.requests == ["/whole"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("damaged", r"/damaged must be an archive with the MD5 checksum [0-9a-f]{32}, got '[0-9a-f]{32}'"),
        ("cut", r"/cut must be an archive of \d+ bytes, got 700"),
        ("missing", r"the address to fetch from must be one that can be read \(HTTP Error 404.*, got 'http.*missing'"),
    ],
)
def test_what_does_not_arrive_whole_leaves_nothing(server: str, tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fetch(_archive(f"{server}/{path}"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_addresses_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be one that begins with https:// or http://, got 'file:///etc/"):
        fetch(_archive("file:///etc/hostname"), tmp_path)
    with pytest.raises(ConfigError, match=r"must be one that can be read \(.*refused"):
        fetch(_archive("http://127.0.0.1:1/"), tmp_path)


def test_a_folder_that_cannot_be_written(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"the folder to fetch to must be one that can be written to"):
        fetch(_archive(f"{server}/whole"), tmp_path / "file")


def test_only_expected_files_are_unpacked(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"small/{name}": content for name, content in FILES.items()}
    hostile = _packed({"../escaped": b"x", "/tmp/escaped-absolutely": b"x", "small/extra": b"x", **members})
    monkeypatch.setattr(f"{__name__}.CONTENT", hostile)
    place = fetch(_archive(f"{server}/whole", hostile), tmp_path / "in")
    assert _files_in(place) == FILES
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_the_archive_of_cifar10() -> None:
    archive = ARCHIVES["cifar10"]
    assert archive.url.startswith("https://")
    assert len(archive.md5) == 32
    assert len(archive.files) == 6


def test_the_command(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ARCHIVES, "cifar10", _archive("http://no.such.host/"))
    assert run(["fetch", "cifar10", "--data-dir", str(tmp_path), "--url", f"{server}/whole"]) == 0
    assert capsys.readouterr() == (f"cifar10 is in {tmp_path / 'small'}\n", "")
    assert _files_in(tmp_path / "small") == FILES
    assert run(["fetch", "nosuch"]) == 2
    assert "NAME must be one of cifar10, got 'nosuch'" in capsys.readouterr().err
