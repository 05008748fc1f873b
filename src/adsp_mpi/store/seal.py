"""A check sum over a whole HDF5 file, in its user block: the first bytes, which HDF5 leaves to others.

So damage is seen before HDF5 reads a byte. HDF5 itself looks for little of it, and can hang or crash.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

HEAD_BYTES = 512  # the user block

_PREFIX = b"adsp_mpi: sha256 of all bytes from 512 on: "
_SLICE_BYTES = 1 << 22


def seal(path: Path) -> None:
    """Write the check sum into a file that is complete otherwise."""
    head = _PREFIX + _digest(path) + b"\n"
    with path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), head.ljust(HEAD_BYTES, b"\0"), 0)


def is_sealed(path: Path) -> bool:
    """Return whether a file has a check sum."""
    with path.open("rb") as file:
        return file.read(len(_PREFIX)) == _PREFIX


def is_unbroken(path: Path) -> bool:
    """Return whether the check sum of a sealed file is right."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES).removeprefix(_PREFIX).rstrip(b"\0\n") == _digest(path)


def _digest(path: Path) -> bytes:
    # Reading and hashing slices, both without the GIL.
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_SLICE_BYTES))
    with path.open("rb", buffering=0) as file:
        file.seek(HEAD_BYTES)
        while n_read := file.readinto(buffer):
            digest.update(buffer[:n_read])
    return digest.hexdigest().encode()
