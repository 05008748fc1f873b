"""Named buffers: how the words of workers and server lie in the window.

Records are sealed: their last word is a check sum over all others, so a reader that met a writer
sees it and reads again. All words are 8 bytes or halves of such, all records whole cache lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.engine.messages import Commit, Control, Phase, WorkerStatus

CONTROL = np.dtype(
    [
        ("sequence", "i8"),
        ("target", "f8"),
        ("batch_size", "i4"),
        ("stop", "i2"),
        ("pull", "i2"),
        ("acknowledged", "i8"),
        ("released", "i8"),
        ("version", "i8"),
        ("spare", "i8"),
        ("seal", "u8"),
    ]
)
STATUS = np.dtype(
    [
        ("heartbeat", "i8"),
        ("phase", "i8"),
        ("steps", "i8"),
        ("compute_s", "f8"),
        ("communication_s", "f8"),
        ("blocked_s", "f8"),
        ("other_s", "f8"),
        ("overruns", "i8"),
        ("worst_overrun", "f8"),
        ("retries", "i8"),
        ("pinned", "i8"),  # version that rank 0 shall spare, plus one; 0 for none
        ("samples", "i8"),
        ("signal", "i8"),
        ("spare", "i8", 2),
        ("seal", "u8"),
    ]
)
HEADER = np.dtype(
    [
        ("worker", "i8"),
        ("number", "i8"),
        ("first_step", "i8"),
        ("steps", "i8"),
        ("batch_size", "i8"),
        ("learning_rate", "f8"),
        ("base_version", "i8"),
        ("is_pulled", "i8"),
        ("started_s", "f8"),
        ("overhead_s", "f8"),
        ("retries", "i8"),
        ("train_loss", "f8"),
        ("spare", "i8", 3),
        ("seal", "u8"),
    ]
)
assert CONTROL.itemsize == 64
assert STATUS.itemsize == 128
assert HEADER.itemsize == 128

Record = NDArray[Any]  # shape (), structured
# Powers, not multiples: else a smaller batch size could make up for a larger version number.
_FACTORS = np.array([pow(0x9E3779B97F4A7C15, i + 1, 2**64) for i in range(16)], np.uint64)
_OFFSET = np.uint64(0x5EA1)  # an all-zero record is not sealed


def new_record(dtype: np.dtype[Any]) -> Record:
    """Return an empty record."""
    return np.zeros((), dtype)


def seal(record: Record) -> None:
    """Make a record valid as it is now."""
    record["seal"] = _seal_of(record)


def is_whole(record: Record) -> bool:
    """Whether a record is one that was sealed, not a mixture of two."""
    return bool(record["seal"] == _seal_of(record))


def _seal_of(record: Record) -> np.uint64:
    words = record.reshape(1).view(np.uint64)[:-1]
    total: np.uint64 = (words * _FACTORS[: words.size]).sum(dtype=np.uint64) + _OFFSET
    return total


def pack_control(record: Record, control: Control) -> None:
    """Write a control record; `unpack_control` reads it."""
    values = (control.target, control.batch_size, control.stop, control.pull)
    counts = (control.acknowledged, control.released, control.version)
    record[()] = (record["sequence"] + 1, *values, *counts, 0, 0)
    seal(record)


def unpack_control(record: Record) -> Control:
    """Read a control record."""
    _, target, batch_size, stop, pull, acknowledged, released, version, *_ = record.item()
    return Control(target, batch_size, bool(stop), bool(pull), acknowledged, released, version)


def pack_status(record: Record, status: WorkerStatus, pinned: int) -> None:
    """Write a status record; `unpack_status` reads it."""
    times = (status.compute_s, status.communication_s, status.blocked_s, status.other_s)
    counts = (status.overruns, status.worst_overrun, status.retries)
    head = (status.heartbeat, int(status.phase), status.steps)
    record[()] = (*head, *times, *counts, pinned, status.samples, status.signal, 0, 0)
    seal(record)


def unpack_status(record: Record) -> WorkerStatus:
    """Read a status record."""
    values = dict(zip(STATUS.names or (), record.item(), strict=True))
    fields = {name: values[name] for name in WorkerStatus.__dataclass_fields__}
    return WorkerStatus(**(fields | {"phase": Phase(fields["phase"])}))


def pack_header(record: Record, commit: Commit) -> None:
    """Write a commit's header; `unpack_header` reads it."""
    record[()] = (*commit, 0, 0)
    seal(record)


def unpack_header(record: Record) -> Commit:
    """Read a commit's header."""
    *values, _, _ = record.item()
    fields = dict(zip(HEADER.names or (), values, strict=False))
    return Commit(**(fields | {"is_pulled": bool(fields["is_pulled"])}))
