"""Runs that are carried out once: what a run was is kept in a folder, under a name made of its configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from adsp_mpi import __version__, api
from adsp_mpi.analysis.sweeps import RunRecord
from adsp_mpi.config.load import to_tables, to_toml
from adsp_mpi.config.sections import Config
from adsp_mpi.errors import must
from adsp_mpi.experiments.pool import finished
from adsp_mpi.store.files import replacement

Told = Callable[[int, int], None]  # runs finished, runs in all


class Runs:
    """Carries out runs in parallel, and those of an earlier time not again.

    Parameters
    ----------
    folder : where they are kept; made if missing
    jobs : how many run at once

    Raises
    ------
    ConfigError
        if the folder cannot be made
    """

    def __init__(self, folder: Path, jobs: int) -> None:
        self._folder = folder
        self._jobs = jobs
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise must("--out", "a folder that can be written", str(folder)) from exc

    def has(self, config: Config) -> bool:
        """Whether a run has been carried out."""
        return self._load(config) is not None

    def records(self, configs: Sequence[Config], told: Told = lambda done, total: None) -> list[RunRecord]:
        """Return what each run was, in order; those not yet there are carried out, and kept one by one."""
        by_key = {key(config): config for config in configs}
        found = {name: record for name, config in by_key.items() if (record := self._load(config)) is not None}
        todo = [config for name, config in by_key.items() if name not in found]
        told(0, len(todo))
        for n_done, (number, record) in enumerate(self._carried_out(todo), 1):
            self._keep(todo[number], record)
            found[key(todo[number])] = record
            told(n_done, len(todo))
        return [found[key(config)] for config in configs]

    def _carried_out(self, configs: Sequence[Config]) -> Iterator[tuple[int, RunRecord]]:
        """Yield (number of the run, what it was) as runs are finished."""
        return finished(carry_out, configs, self._jobs)

    def _load(self, config: Config) -> RunRecord | None:
        try:
            kept = json.loads(self._path(config).read_text(encoding="utf-8"))
            return RunRecord(kept["summary"], kept["curve"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or not ours: carried out again

    def _keep(self, config: Config, record: RunRecord) -> None:
        path = self._path(config)
        path.with_suffix(".toml").write_text(to_toml(config), encoding="utf-8")
        kept = {"summary": record.summary, "curve": record.curve}
        with replacement(path) as aside:
            aside.write_text(json.dumps(kept) + "\n", encoding="utf-8")

    def _path(self, config: Config) -> Path:
        return self._folder / f"{key(config)}.json"


def key(config: Config) -> str:
    """Return a name for what a configuration computes: alike if, and only if, it and the package's version are."""
    tables: dict[str, Any] = {name: table for name, table in to_tables(config).items() if name != "output"}
    text = json.dumps({"version": __version__, **tables}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def carry_out(config: Config) -> RunRecord:
    """Return the record of a run in virtual time, of which nothing else is left."""
    result = api.simulate(config, write=False)
    return RunRecord.of(result.summary, result.trace)
