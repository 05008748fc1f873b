"""The package from Python: `train` on real ranks, `simulate` in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from adsp_mpi.config.sections import Config
from adsp_mpi.errors import AdspError, must

if TYPE_CHECKING:
    from mpi4py import MPI

    from adsp_mpi.engine.server import Server
    from adsp_mpi.recording import Result

Tables = Mapping[str, Mapping[str, Any]]
Say = Callable[[str], None]
DEFAULT_WORKERS = 4


def train(
    config: Config | Tables | None = None,
    comm: MPI.Intracomm | None = None,
    *,
    write: bool = True,
    observe: Callable[[Server, float], None] | None = None,
    say: Say = lambda text: None,
) -> Result | None:
    """Train on the ranks of `comm`: rank 0 serves, every other rank is a worker.

    Collective: yes.  RMA: passive target, rank 0.

    Parameters
    ----------
    config : a configuration, or its sections as mappings; only rank 0's counts. None: the defaults
    comm : by default ``MPI.COMM_WORLD``
    write : leave a run folder
    observe : called on rank 0 some ten times a second with the server and the time in device seconds
    say : called on rank 0 with what takes long

    Returns
    -------
    The result on rank 0, None elsewhere.

    Raises
    ------
    ConfigError
        on every rank, before training starts, if the run is not possible
    StalledError
        if a rank is not heard of for too long

    Notes
    -----
    Start your program with ``python -m mpi4py program.py``: an exception on one rank then ends all of them. The
    command line does so by itself.
    """
    from mpi4py import MPI

    from adsp_mpi.engine.mpi import session

    own = (MPI.COMM_WORLD if comm is None else comm).Dup()
    if own.rank > 0:
        session.follow(own)
        own.Free()
        return None

    from adsp_mpi.recording import Recording

    try:
        whole = _whole(config)
        if whole.run.workers not in ("auto", own.size - 1) and own.size > 1:
            raise must("run.workers", f"{own.size - 1} with {own.size} ranks, or auto", whole.run.workers)
        if whole.devices.server_bytes_per_s is not None:
            rule = "left out in real time, where the server's link is a real one"
            raise must("devices.server_bytes_per_s", rule, whole.devices.server_bytes_per_s)
    except AdspError as exc:
        session.refuse(own, exc)
        raise
    recording = Recording(whole, "mpi", write, observe)
    try:
        outcome = session.lead(own, whole, recording, say)
    except KeyboardInterrupt:
        if recording.folder is not None:
            say(f"interrupted; what was recorded until now is in {recording.folder}")
        raise
    own.Free()
    return recording.finish(outcome)


def simulate(
    config: Config | Tables | None = None,
    *,
    write: bool = True,
    observe: Callable[[Server, float], None] | None = None,
) -> Result:
    """Train in virtual time, in this process: the real gradients, the configured devices, no MPI.

    Parameters
    ----------
    config : a configuration, or its sections as mappings. None: the defaults
    write : leave a run folder
    observe : called every Γ/6 with the server and the virtual time

    Raises
    ------
    ConfigError
        if the run is not possible
    """
    from adsp_mpi.devices import profile_size
    from adsp_mpi.engine.testbed import assemble, warm_up
    from adsp_mpi.engine.virtual import VirtualDriver
    from adsp_mpi.recording import Recording

    whole = _whole(config)
    n_workers = whole.run.workers
    if n_workers == "auto":
        n_workers = profile_size(whole.devices) or DEFAULT_WORKERS
    testbed = assemble(whole, n_workers)
    warm_up(testbed)  # several simulations may start at once
    recording = Recording(whole, "virtual", write, observe)
    recording.prepare(testbed)
    return recording.finish(VirtualDriver(testbed, recording).run())


def _whole(config: Config | Tables | None) -> Config:
    from adsp_mpi.config.load import DEFAULTS, build_config, check_ending, to_tables

    tables = to_tables(config) if isinstance(config, Config) else DEFAULTS if config is None else config
    whole = build_config(tables)
    check_ending(whole)
    return whole
