"""What is needed to resume a run: found in its folder, and checked before anything of it is touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_low
from typing import Any

from adsp_mpi.config.load import build_config, check_ending, read_tables, to_tables
from adsp_mpi.config.sections import Config
from adsp_mpi.engine.outcome import Snapshot
from adsp_mpi.engine.server.state import server_state
from adsp_mpi.errors import ConfigError, TraceError, must
from adsp_mpi.runs.names import on_workers
from adsp_mpi.store.checkpoint import Checkpoint
from adsp_mpi.store.kept import newest_checkpoint
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.trace_reading import read_trace

Tables = Mapping[str, Mapping[str, Any]]
Say = Callable[[str], None]
# What may be other than before: when the run ends, and how it is kept and watched.
CHANGEABLE = {
    "stop": {"target_loss", "evaluations_below_target", "max_time_s", "max_steps", "max_versions"},
    "output": {"checkpoint_interval_s", "keep_checkpoints"},
    "run": {"deadline_s", "polling", "on_worker_lost"},
}


@dataclass(frozen=True)
class Beginning:
    """A run that is to begin or to be resumed.

    Attributes
    ----------
    config : the whole configuration
    folder : where it is resumed; None for a new run
    start : from what; None for the beginning
    """

    config: Config
    folder: RunFolder | None
    start: Snapshot | None


def is_finished(folder: RunFolder) -> bool:
    """Whether a run has ended by its own rules, as far as its summary can be read."""
    try:
        return bool(folder.read_summary().get("finished", True))
    except TraceError:
        return False


def resumed_folder(folder: RunFolder, n_workers: int | None) -> RunFolder:
    """Return where a run is resumed: in its folder, or in that of the run which as many workers have begun from it.

    Parameters
    ----------
    n_workers : workers that there are now; None for as many as there were
    """
    before = read_tables(folder.config_toml, called=folder.config_toml.name).get("run", {}).get("workers")
    if n_workers is None or n_workers == before:
        return folder
    other = RunFolder(on_workers(folder.path, n_workers))
    return other if other.config_toml.is_file() else folder


def changes_to(folder: RunFolder, config: Config) -> Tables:
    """Return what of a configuration is not as the run in a folder has it.

    Names, the number of workers, what was measured at the start and what a new number of workers began from are left
    out.
    """
    before = to_tables(build_config(read_tables(folder.config_toml, called=folder.config_toml.name)))
    after = to_tables(config)
    not_compared = {("output", "dir"), ("output", "name"), ("run", "workers")}
    if (folder.path / "start.h5").exists():
        not_compared |= {("model", "start_from"), ("model", "start_step")}
    if config.devices.relative:
        not_compared |= {("devices", "relative"), ("devices", "step_time_s")}
    changes: dict[str, dict[str, Any]] = {}
    for section, table in after.items():
        for key, value in table.items():
            if (section, key) not in not_compared and before.get(section, {}).get(key) != value:
                changes.setdefault(section, {})[key] = value
        for key in before.get(section, {}).keys() - table.keys():
            if (section, key) not in not_compared:
                changes.setdefault(section, {})[key] = None
    return changes


def resumed(path: Path, changes: Tables, driver: str, n_workers: int | None, say: Say) -> Beginning:
    """Return how the run in a folder is resumed.

    Parameters
    ----------
    path : the run's folder
    changes : sections with new values
    driver : ``mpi`` or ``virtual``, who is to resume it
    n_workers : workers that there are now; None for as many as there were
    say : told what a user should know

    Raises
    ------
    ConfigError, TraceError
        if it cannot be resumed
    """
    folder = resumed_folder(RunFolder.open(path), n_workers)
    config = _changed(folder, changes)
    if is_finished(folder) and "stop" not in changes:
        reason = folder.read_summary().get("stop_reason")
        raise ConfigError(f"run must be unfinished, or get a later end as in --set stop.max_time_s=100, got {reason!r}")
    checkpoint = _newest(folder, config, say)
    _check_driver(folder, config, checkpoint, driver)
    if n_workers is not None and n_workers != config.run.workers:
        return _on_other_workers(folder, config, checkpoint, n_workers, say)
    if is_finished(folder):
        _check_end(folder, config)
    _check_workers(config, checkpoint)
    if checkpoint is None:
        say(f"no checkpoint in {folder.path}: the run begins anew")
        return Beginning(config, folder, None)
    say(f"resuming {folder.path} from version {checkpoint.version}")
    return Beginning(config, folder, snapshot_of(checkpoint))


def snapshot_of(checkpoint: Checkpoint) -> Snapshot:
    """Return what a checkpoint with a state holds."""
    assert checkpoint.state is not None, "a checkpoint of parameters alone"
    time_s = float(checkpoint.attributes["time_s"])
    return Snapshot(checkpoint.parameters, checkpoint.version, time_s, checkpoint.state)


def _changed(folder: RunFolder, changes: Tables) -> Config:
    for section, table in changes.items():
        for key, value in table.items():
            if key not in CHANGEABLE.get(section, ()):
                known = ", ".join(f"{name}.{k}" for name, keys in CHANGEABLE.items() for k in sorted(keys))
                raise must(f"{section}.{key}", f"left as the run has it; what can change: {known}", value)
    tables = read_tables(folder.config_toml, called=folder.config_toml.name)
    for section, table in changes.items():
        tables.setdefault(section, {}).update(table)
    config = build_config(tables)
    check_ending(config)
    return config


def _newest(folder: RunFolder, config: Config, say: Say) -> Checkpoint | None:
    checkpoint, passed_over = newest_checkpoint(folder, needs_state=True, scheme=config.scheme)
    for complaint in passed_over:
        if "parameters alone" not in complaint:
            say(f"passed over: {complaint}")
    return checkpoint


def _check_end(folder: RunFolder, config: Config) -> None:
    """Refuse ends that a finished run is past: it would lose what it did after its last checkpoint, for nothing."""
    summary = folder.read_summary()
    for key, count in (("max_time_s", "time_s"), ("max_steps", "steps"), ("max_versions", "version")):
        limit, reached = getattr(config.stop, key), summary.get(count)
        if limit is not None and isinstance(reached, int | float) and limit <= reached:
            raise must(f"stop.{key}", f"later than the end of the run, which is at {reached:.6g}", limit)


def _check_workers(config: Config, checkpoint: Checkpoint | None) -> None:
    if checkpoint is None or checkpoint.state is None:
        return
    n_workers = server_state(checkpoint.state["server"]).view.n_workers
    if config.run.workers != n_workers:
        raise must("run.workers", f"{n_workers} in config.toml, as in the checkpoint", config.run.workers)


def _check_driver(folder: RunFolder, config: Config, checkpoint: Checkpoint | None, driver: str) -> None:
    if checkpoint is not None:
        was = checkpoint.attributes["driver"]
    elif folder.trace.exists():
        recorded = read_trace(folder.trace).attributes
        if recorded["scheme"] != config.scheme:  # or a damaged configuration would begin another run in its place
            raise must("sync.scheme", f"{recorded['scheme']} in config.toml, as in the trace", config.scheme)
        was = recorded["driver"]
    else:
        return
    if was != driver:
        how = "without mpirun: it was simulated" if was == "virtual" else "with mpirun: it was a real one"
        raise ConfigError(f"run must be resumed {how}, got {str(folder.path)!r}")


def _on_other_workers(
    folder: RunFolder, config: Config, checkpoint: Checkpoint | None, n_workers: int, say: Say
) -> Beginning:
    """Begin a new run from the parameters of the old one: shards, clocks and schedules are made for so many workers."""
    n_before = config.run.workers
    if checkpoint is None:
        raise must("number of workers", f"{n_before} as before: there is no checkpoint to start others from", n_workers)
    other = on_workers(folder.path, n_workers)
    config = replace(
        config,
        run=replace(config.run, workers=n_workers),
        model=replace(config.model, start_from=str((other / "start.h5").resolve()), start_step=_next_step(checkpoint)),
    )
    other_folder = RunFolder.create(other.parent, other.name)
    try:
        shutil.copyfile(folder.checkpoint(checkpoint.version), other / "start.h5")
    except OSError as exc:
        raise must(str(other), f"a folder that can be written ({exc.strerror})", "start.h5") from exc
    say(
        f"the run had {n_before} workers, now there are {n_workers}: its data is sharded anew, and a new run begins in "
        f"{other} from the parameters of version {checkpoint.version}, with time, clocks and momentum at 0"
    )
    return Beginning(config, other_folder, None)


def _next_step(checkpoint: Checkpoint) -> int:
    """Return the step that a typical worker would have taken next: learning rates go by it."""
    if checkpoint.state is None:
        raise TraceError("checkpoint must hold a state")
    return median_low(server_state(checkpoint.state["server"]).rounds.next_steps)
