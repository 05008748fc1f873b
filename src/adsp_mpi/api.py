"""The package from Python: `train` on real ranks, `simulate` in virtual time, `resume` what was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adsp_mpi.config.sections import Config
from adsp_mpi.errors import AdspError, must

if TYPE_CHECKING:
    from mpi4py import MPI

    from adsp_mpi.engine.server.server import Server
    from adsp_mpi.engine.signals import StopRequest
    from adsp_mpi.runs.result import Result
    from adsp_mpi.runs.resuming import Beginning

Tables = Mapping[str, Mapping[str, Any]]
Say = Callable[[str], None]
Observe = Callable[["Server", float], None]
DEFAULT_WORKERS = 4


def train(
    config: Config | Tables | None = None,
    comm: MPI.Intracomm | None = None,
    *,
    write: bool = True,
    observe: Observe | None = None,
    say: Say = lambda text: None,
    stop: StopRequest | None = None,
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
    stop : ends the run cleanly, with a checkpoint, once it has noted a signal; signals to workers do so anyway

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

    def begin(ranks: MPI.Intracomm) -> Beginning:
        from adsp_mpi.runs.resuming import Beginning

        return Beginning(_whole(config), None, None)

    return _on_ranks(comm, begin, write, observe, say, stop)


def simulate(
    config: Config | Tables | None = None,
    *,
    write: bool = True,
    observe: Observe | None = None,
    say: Say = lambda text: None,
    stop: StopRequest | None = None,
) -> Result:
    """Train in virtual time, in this process: the real gradients, the configured devices, no MPI.

    Parameters
    ----------
    config : a configuration, or its sections as mappings. None: the defaults
    write : leave a run folder
    observe : called every Γ/6 with the server and the virtual time
    say : called with what goes wrong on the way
    stop : ends the run cleanly, with a checkpoint, once it has noted a signal

    Raises
    ------
    ConfigError
        if the run is not possible
    """
    from adsp_mpi.runs.resuming import Beginning

    return _simulate(Beginning(_whole(config), None, None), write, observe, say, stop)


def resume(
    folder: Path | str,
    comm: MPI.Intracomm | None = None,
    *,
    changes: Tables | None = None,
    observe: Observe | None = None,
    say: Say = lambda text: None,
    stop: StopRequest | None = None,
) -> Result | None:
    """Resume an interrupted run on ranks, from its newest checkpoint that is whole.

    Collective: yes.  RMA: passive target, rank 0.

    Parameters
    ----------
    folder : what the run has left
    comm : by default ``MPI.COMM_WORLD``
    changes : sections with new values, of what does not change the run until now: see `runs.resuming.CHANGEABLE`
    observe, say, stop : see `train`

    Returns
    -------
    See `train`. Workers lose what they had not committed; a run under BSP ends with the parameters of one that was not
    interrupted. With another number of workers a new run begins from the parameters.

    Raises
    ------
    ConfigError, TraceError
        if the run cannot be resumed; it is left as it is
    """

    def begin(ranks: MPI.Intracomm) -> Beginning:
        from adsp_mpi.engine.mpi.session import check_world
        from adsp_mpi.runs.resuming import resumed

        check_world(ranks)
        return resumed(Path(folder), changes or {}, "mpi", ranks.size - 1, say)

    return _on_ranks(comm, begin, True, observe, say, stop)


def resume_simulation(
    folder: Path | str,
    changes: Tables | None = None,
    *,
    observe: Observe | None = None,
    say: Say = lambda text: None,
    stop: StopRequest | None = None,
) -> Result:
    """Resume an interrupted simulation: it ends as if it had not been interrupted; see `resume`."""
    from adsp_mpi.runs.resuming import resumed

    return _simulate(resumed(Path(folder), changes or {}, "virtual", None, say), True, observe, say, stop)


def _on_ranks(
    comm: MPI.Intracomm | None,
    begin: Callable[[MPI.Intracomm], Beginning],
    write: bool,
    observe: Observe | None,
    say: Say,
    stop: StopRequest | None,
) -> Result | None:
    from mpi4py import MPI

    from adsp_mpi.engine.mpi import session
    from adsp_mpi.engine.mpi.plan import refuse

    own = (MPI.COMM_WORLD if comm is None else comm).Dup()
    if own.rank > 0:
        session.follow(own)
        return None

    from adsp_mpi.runs.recording import Recording

    try:
        run = begin(own)
        _check_real(run.config, own.size)
        recording = Recording(run.config, "mpi", write, observe, say, stop)
        if run.folder is not None:
            recording.resume(run.folder, run.start)
    except AdspError as exc:
        refuse(own, exc)
        raise
    try:
        outcome = session.lead(own, run.config, recording, say, run.start)
    except KeyboardInterrupt:
        if recording.folder is not None:
            say(f"interrupted; what was recorded until now is in {recording.folder}")
        raise
    return recording.finish(outcome)


def _check_real(config: Config, n_ranks: int) -> None:
    """Refuse what is possible in virtual time only."""
    if config.run.workers not in ("auto", n_ranks - 1):
        raise must("run.workers", f"{n_ranks - 1} with {n_ranks} ranks, or auto", config.run.workers)
    if config.devices.server_bytes_per_s is not None:
        rule = "left out in real time, where the server's link is a real one"
        raise must("devices.server_bytes_per_s", rule, config.devices.server_bytes_per_s)


def _simulate(run: Beginning, write: bool, observe: Observe | None, say: Say, stop: StopRequest | None) -> Result:
    from adsp_mpi.devices import profile_size
    from adsp_mpi.engine.testbed import assemble, warm_up
    from adsp_mpi.engine.virtual.driver import VirtualDriver
    from adsp_mpi.runs.recording import Recording

    n_workers = run.config.run.workers
    if n_workers == "auto":
        n_workers = profile_size(run.config.devices) or DEFAULT_WORKERS
    testbed = assemble(run.config, n_workers)
    testbed.check_start()
    warm_up(testbed)  # several simulations may start at once
    recording = Recording(run.config, "virtual", write, observe, say, stop)
    if run.folder is not None:
        recording.resume(run.folder, run.start)
    recording.prepare(testbed)
    return recording.finish(VirtualDriver(testbed, recording, run.start).run())


def _whole(config: Config | Tables | None) -> Config:
    from adsp_mpi.config.load import DEFAULTS, build_config, check_ending, to_tables

    tables = to_tables(config) if isinstance(config, Config) else DEFAULTS if config is None else config
    whole = build_config(tables)
    check_ending(whole)
    return whole
