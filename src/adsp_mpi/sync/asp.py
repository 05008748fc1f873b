"""ASP: total asynchronous parallel."""

from __future__ import annotations

from typing import ClassVar

from adsp_mpi.sync.scheme import Scheme


class Asp(Scheme):
    """Every worker commits after every step and never waits; updates are applied as they arrive.

    Notes
    -----
    Source: Recht et al., NIPS 2011; Dean et al., NIPS 2012 (Downpour). Also called TAP.
    Differs: the server step is η = 1/m as in the ADSP authors' testbed, not 1.
    """

    name: ClassVar[str] = "asp"
    summary: ClassVar[str] = "asynchronous parallel: commit after every step, never wait"
    source: ClassVar[str] = "Recht et al., NIPS 2011; Dean et al., NIPS 2012"
    can_overlap: ClassVar[bool] = True
