"""How the words of workers and server lie in the window: dtypes that follow from their classes.

Records are sealed: their last word is a check sum over all others, so a reader that met a writer sees it and reads
again. All words have 8 bytes, all records are whole cache lines.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.engine.messages import MAX_PULLS, Control, Phase, WorkerStatus
from adsp_mpi.store.schema import HEADER as COMMIT_COLUMNS
from adsp_mpi.store.schema import Commit, PullMark

LINE = 64
Record = NDArray[Any]  # shape (), structured


def _words_of(cls: type) -> list[tuple[str, str]]:
    """Return a word for each field of a class: f8 for float, i8 for int, bool and enumerations."""
    return [(name, "f8" if kind is float else "i8") for name, kind in get_type_hints(cls).items()]


def _sealed(words: list[tuple[Any, ...]]) -> np.dtype[Any]:
    """Return a dtype of these words, filled up to whole cache lines, whose last word is the seal."""
    used = np.dtype(words).itemsize // 8 + 1
    n_spare = -used % (LINE // 8)
    return np.dtype([*words, ("spare", "i8", (n_spare,)), ("seal", "u8")])


_N_MARK = len(PullMark._fields)
_CONTROL_WORDS = _words_of(Control)
_STATUS_WORDS = _words_of(WorkerStatus)
_HEADER_WORDS = [(c.name, "f8" if c.dtype == "float64" else "i8") for c in COMMIT_COLUMNS]
CONTROL = _sealed([("sequence", "i8"), *_CONTROL_WORDS])
STATUS = _sealed([*_STATUS_WORDS, ("pinned", "i8")])  # version that rank 0 shall spare, plus one; 0 for none
HEADER = _sealed([*_HEADER_WORDS, ("n_pulls", "i8"), ("pulls", "i8", (MAX_PULLS * _N_MARK,))])

# Powers, not multiples: else a smaller batch size could make up for a larger version number.
_FACTORS = np.array([pow(0x9E3779B97F4A7C15, i + 1, 2**64) for i in range(HEADER.itemsize // 8)], np.uint64)
_OFFSET = np.uint64(0x5EA1)  # an all-zero record is not sealed
_control_values = attrgetter(*(name for name, _ in _CONTROL_WORDS))
_status_values = attrgetter(*(name for name, _ in _STATUS_WORDS))


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
    record[()] = (record["sequence"] + 1, *_control_values(control), 0, 0)
    seal(record)


def unpack_control(record: Record) -> Control:
    """Read a control record."""
    control = Control(*record.item()[1:-2])
    control.stop, control.pull = bool(control.stop), bool(control.pull)
    return control


def pack_status(record: Record, status: WorkerStatus, pinned: int) -> None:
    """Write a status record; `unpack_status` reads it."""
    record[()] = (*_status_values(status), pinned, 0, 0)
    seal(record)


def unpack_status(record: Record) -> WorkerStatus:
    """Read a status record."""
    status = WorkerStatus(*record.item()[: len(_STATUS_WORDS)])
    status.phase = Phase(status.phase)
    return status


def pack_header(record: Record, commit: Commit) -> None:
    """Write a commit's header; `unpack_header` reads it."""
    *fields, pulls = commit
    words = [word for mark in pulls for word in mark]
    words += [0] * (MAX_PULLS * _N_MARK - len(words))
    record[()] = (*fields, len(pulls), words, 0, 0)
    seal(record)


def unpack_header(record: Record) -> Commit:
    """Read a commit's header."""
    *fields, n_pulls, words, _, _ = record.item()
    marks = tuple(PullMark(*words[i * _N_MARK : (i + 1) * _N_MARK]) for i in range(min(n_pulls, MAX_PULLS)))
    return Commit._make((*fields, marks))._replace(is_pulled=bool(record["is_pulled"]))
