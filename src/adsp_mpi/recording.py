"""What a run leaves: the run folder, filled while the run goes on, and the result handed back. Rank 0 only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adsp_mpi.analysis.summary import summarize
from adsp_mpi.config.load import repeatable, to_toml
from adsp_mpi.config.sections import Config
from adsp_mpi.engine.outcome import Outcome
from adsp_mpi.engine.server import Server
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.models.layout import Layout
from adsp_mpi.store.checkpoint import write_checkpoint
from adsp_mpi.store.environment import environment
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.trace import Trace, TraceView
from adsp_mpi.store.trace_file import TraceFile, read_trace

Array = NDArray[Any]
Observer = Callable[[Server, float], None]


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes
    ----------
    summary : the numbers of ``summary.json``, see docs/file-format.md
    parameters : shape (n_params,), the final global parameters
    layout : their named views
    trace : what was recorded
    folder : where it was written; None for a run that left nothing
    """

    summary: Mapping[str, Any]
    parameters: Array
    layout: Layout
    trace: TraceView
    folder: Path | None

    def save_npz(self, path: Path | str) -> None:
        """Write the final weights as one named array each, for `numpy.load`."""
        arrays: dict[str, Any] = self.layout.views(self.parameters)
        np.savez(path, **arrays)


class Recording:
    """Take what a run leaves, in a run folder or in memory alone.

    Parameters
    ----------
    driver : ``mpi`` or ``virtual``
    write : make a run folder
    observe : called whenever the driver looks at the run
    """

    def __init__(self, config: Config, driver: str, write: bool, observe: Observer | None = None) -> None:
        self._config = config
        self._driver = driver
        self._write = write
        self._observe = observe
        self._folder: RunFolder | None = None
        self._file: TraceFile | None = None
        self._next_flush_s = 0.0

    @property
    def folder(self) -> Path | None:
        """The run folder, once there is one."""
        return self._folder.path if self._folder else None

    def prepare(self, testbed: Testbed) -> None:
        """Make the run folder."""
        if self._write:
            label = f"{self._config.scheme}-{testbed.model.name}".replace("_", "-")
            self._folder = RunFolder.create(Path(self._config.output.dir), self._config.output.name, label)
            self._write_config(testbed)

    def begin(self, testbed: Testbed) -> Trace:
        """Open the trace."""
        self._testbed = testbed
        self._trace = Trace(
            {
                "scheme": self._config.scheme,
                "driver": self._driver,
                "n_workers": testbed.n_workers,
                "n_parameters": testbed.model.layout.size,
                "dtype": testbed.model.layout.dtype.name,
                "seed": self._config.run.seed,
                "time_scale": self._config.run.time_scale,
                "check_period_s": testbed.setting.check_period_s,
                "configuration": _toml(testbed),
                "environment": json.dumps(environment()),
            }
        )
        if self._folder is not None:
            self._write_config(testbed)  # a measured step time is known by now
            self._file = TraceFile(self._folder.trace, self._trace)
        return self._trace

    def observe(self, server: Server, now_s: float) -> None:
        """Hand the rows to the file once per check period, and pass the look on."""
        if self._file is not None and now_s >= self._next_flush_s:
            self._file.append()
            self._next_flush_s = now_s + self._testbed.setting.check_period_s
        if self._observe is not None:
            self._observe(server, now_s)

    def finish(self, outcome: Outcome) -> Result:
        """Close the trace, write final parameters and summary, and return all of it."""
        testbed = self._testbed
        trace: TraceView = self._trace
        if self._file is not None and self._folder is not None:
            with self._file:
                pass
            trace = read_trace(self._folder.trace)
        summary = {
            **summarize(trace, self._config.stop.target_loss),
            "version": outcome.version,
            "stop_reason": outcome.stop_reason,
            "test_loss": outcome.test_loss,
            "test_accuracy": outcome.test_accuracy,
        }
        if self._folder is not None:
            attributes = {"scheme": self._config.scheme, "model": testbed.model.name}
            entries = testbed.model.layout.entries()
            path = self._folder.checkpoint(outcome.version)
            write_checkpoint(path, outcome.parameters, entries, outcome.version, attributes)
            self._folder.write_summary(summary)
        return Result(summary, outcome.parameters, testbed.model.layout, trace, self.folder)

    def _write_config(self, testbed: Testbed) -> None:
        assert self._folder is not None
        self._folder.config_toml.write_text(_toml(testbed), encoding="utf-8")


def _toml(testbed: Testbed) -> str:
    return to_toml(repeatable(testbed.config, testbed.n_workers))
