"""An update on its way into a version, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from adsp_mpi.updates.payload.codec import Codec

Array = NDArray[Any]


@dataclass(slots=True)
class Update:
    """One update as it arrived, with what an update rule may want to know of it.

    Attributes
    ----------
    payload : as the codec made it
    weight : the scheme's factor, beside η
    worker, steps, samples : whose it is, and what it holds
    staleness : versions published between its base and now
    """

    payload: Array
    codec: Codec
    weight: float = 1.0
    worker: int = 0
    steps: int = 1
    samples: int = 1
    staleness: int = 0

    def dense(self) -> Array:
        """Return the update, shape (n_params,), valid until the next one is decoded."""
        return self.codec.decode(self.payload)


class Rates(NamedTuple):
    """What the server multiplies by: η and μ."""

    eta: float
    momentum: float = 0.0


class Merged(NamedTuple):
    """Outcome of a merge or an absorption."""

    is_finite: bool  # if not, nothing has changed
    update_bits: list[int]  # wrap-around sum of each update's bit pattern, to name the first that differs in a replay
