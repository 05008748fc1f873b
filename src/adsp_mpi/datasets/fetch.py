"""Data sets from their authors' servers: downloaded, checked against their checksum, unpacked."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from adsp_mpi.datasets.cifar10 import FOLDER, TEST_FILE, TRAINING_FILES
from adsp_mpi.errors import must

BLOCK = 1 << 18
TIMEOUT_S = 30.0
OnBytes = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Archive:
    """A gzipped tar archive: where it is, its MD5 checksum, and the files to take from one of its folders."""

    url: str
    md5: str
    folder: str
    files: tuple[str, ...]


ARCHIVES = {
    # address and checksum as on https://www.cs.toronto.edu/~kriz/cifar.html
    "cifar10": Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder=FOLDER,
        files=(*TRAINING_FILES, TEST_FILE),
    )
}


def fetch(
    archive: Archive, directory: Path, url: str | None = None, on_bytes: OnBytes = lambda done, total: None
) -> Path:
    """Download and unpack an archive, unless that was done before; return the folder of its files.

    The folder is whole or not there.

    Parameters
    ----------
    directory : where the folder belongs; made if it is not there
    url : where the archive is, if not at its authors'
    on_bytes : told how many bytes have come, and how many there are if that is known

    Raises
    ------
    ConfigError
        if it cannot be downloaded or written, or is not the archive expected
    """
    place = directory / archive.folder
    try:
        if place.exists():
            return place
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{archive.folder}-", dir=directory) as aside:
            packed, unpacked = Path(aside, "archive"), Path(aside, archive.folder)
            _download(url or archive.url, archive.md5, packed, on_bytes)
            _unpack(archive, packed, unpacked)
            os.rename(unpacked, place)
    except OSError as exc:
        raise must("the folder to fetch to", f"one that can be written to ({exc})", str(directory)) from exc
    return place


def _download(url: str, md5: str, path: Path, on_bytes: OnBytes) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("wb") as file:
        for block in _blocks(url, on_bytes):
            file.write(block)
            digest.update(block)
    if digest.hexdigest() != md5:
        raise must(url, f"an archive with the MD5 checksum {md5}", digest.hexdigest())


def _blocks(url: str, on_bytes: OnBytes) -> Iterator[bytes]:
    """Yield what is at `url`."""
    if not url.lower().startswith(("http://", "https://")):
        raise must("the address to fetch from", "one that begins with https:// or http://", url)
    n_bytes = 0
    try:
        with urlopen(url, timeout=TIMEOUT_S) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            while block := response.read(BLOCK):
                yield block
                n_bytes += len(block)
                on_bytes(n_bytes, total)
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise must("the address to fetch from", f"one that can be read ({exc})", url) from exc
    if total is not None and n_bytes != total:
        raise must(url, f"an archive of {total} bytes", n_bytes)


def _unpack(archive: Archive, packed: Path, folder: Path) -> None:
    """Copy the expected files and nothing else; the checksum has vouched for them, not for where others would go."""
    folder.mkdir()
    with tarfile.open(packed, "r:gz") as members:
        for name in archive.files:
            content = members.extractfile(f"{archive.folder}/{name}")
            assert content is not None, "an ordinary file"
            with content, (folder / name).open("wb") as file:
                shutil.copyfileobj(content, file, BLOCK)
