"""Payloads: how an update travels, under any scheme. One file per codec."""

from __future__ import annotations

from adsp_mpi.errors import must
from adsp_mpi.updates.payload.codec import Codec
from adsp_mpi.updates.payload.dense import Dense
from adsp_mpi.updates.payload.float16 import Float16

CODECS: dict[str, type[Codec]] = {codec.name: codec for codec in (Dense, Float16)}


def codec_class(name: object) -> type[Codec]:
    """Return the codec called `name`.

    Raises
    ------
    ConfigError
        if there is none
    """
    if not isinstance(name, str) or name not in CODECS:
        raise must("payload.codec", f"one of {', '.join(CODECS)}", name)
    return CODECS[name]
