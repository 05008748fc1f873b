"""What a run leaves: the run folder, filled during the run. Rank 0 only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from adsp_mpi.analysis.summary import summarize
from adsp_mpi.config.load import repeatable, to_toml
from adsp_mpi.config.sections import Config
from adsp_mpi.engine.outcome import Outcome, Recorder, Snapshot, Wish
from adsp_mpi.engine.server.server import Server
from adsp_mpi.engine.server.state import server_state
from adsp_mpi.engine.signals import StopRequest
from adsp_mpi.engine.testbed import Testbed
from adsp_mpi.errors import TraceError
from adsp_mpi.runs import names
from adsp_mpi.runs.result import Result
from adsp_mpi.store.checkpoint import write_checkpoint
from adsp_mpi.store.environment import environment
from adsp_mpi.store.kept import discard_later, prune_checkpoints
from adsp_mpi.store.run_folder import RunFolder
from adsp_mpi.store.trace import Attribute, Trace, TraceView
from adsp_mpi.store.trace_file import TraceFile
from adsp_mpi.store.trace_reading import read_trace

Observer = Callable[[Server, float], None]
Say = Callable[[str], None]


class Recording(Recorder):
    """Take what a run leaves, in a run folder or in memory alone.

    Parameters
    ----------
    driver : ``mpi`` or ``virtual``
    write : make a run folder
    observe : called whenever the driver looks at the run
    say : told what cannot be written on the way
    stop : signals noted
    """

    def __init__(
        self,
        config: Config,
        driver: str,
        write: bool,
        observe: Observer | None = None,
        say: Say = lambda text: None,
        stop: StopRequest | None = None,
    ) -> None:
        self._config = config
        self._driver = driver
        self._write = write
        self._observe = observe
        self._say = say
        self._stop = stop or StopRequest()
        self._folder: RunFolder | None = None
        self._counts: Mapping[str, int] | None = None  # rows that stay; None for a new run
        self._start: Snapshot | None = None  # to resume from
        self._trace: Trace | None = None
        self._file: TraceFile | None = None
        self._next_flush_s = 0.0
        self._interval_s = config.output.checkpoint_interval_s
        self._next_save_s = time.monotonic() + self._interval_s
        self._saved: int | None = None  # version of the last checkpoint
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    @property
    def folder(self) -> Path | None:
        """The run folder, once there is one."""
        return self._folder.path if self._folder else None

    def resume(self, folder: RunFolder, start: Snapshot | None) -> None:
        """Resume in a folder from `start`, or begin the run anew in it if that is None."""
        folder.make_checkpoints()  # before anything of the run is touched
        self._folder = folder
        self._counts = server_state(start.state["server"]).rows if start else {}
        self._start = start

    def prepare(self, testbed: Testbed) -> None:
        """Make the run folder, or check that the run to be resumed is this one.

        Raises
        ------
        TraceError
            if it is not; nothing has been touched
        """
        if self._start is not None:
            size = self._start.parameters.size
            if size != testbed.model.layout.size:
                raise TraceError(
                    f"checkpoint must hold {testbed.model.layout.size} parameters as the model, got {size}"
                )
            server_state(self._start.state["server"])
            testbed.scheme().restore(self._start.state["server"]["scheme"])
            self._open_trace(testbed)  # now, so that a second process that resumes the run is told in time
        elif self._write and self._folder is None:
            label = names.label(self._config.scheme, testbed.model.name)
            self._folder = RunFolder.create(Path(self._config.output.dir), self._config.output.name, label)
            self._write_config(testbed)

    def begin(self, testbed: Testbed) -> Trace:
        """Open the trace; the devices are known now."""
        if self._trace is None:
            self._open_trace(testbed)
        assert self._trace is not None
        return self._trace

    def _open_trace(self, testbed: Testbed) -> None:
        self._testbed = testbed
        attributes: dict[str, Attribute] = {
            "scheme": self._config.scheme,
            "codec": self._config.payload.codec,
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
        self._trace = Trace(attributes, self._counts, testbed.scheme_class.tables)
        if self._folder is None:
            return
        if self._counts is None:
            self._file = TraceFile(self._folder.trace, self._trace)
        else:
            self._file = TraceFile.resume(self._folder.trace, self._trace, self._trace.counts)
            self._folder.summary.unlink(missing_ok=True)  # the run has not ended any more
            discard_later(self._folder, self._start.version if self._start else -1)
        self._write_config(testbed)  # a measured step time is known by now

    def observe(self, server: Server, now_s: float) -> None:
        """Hand the rows to the file once per check period, and pass the look on."""
        if self._file is not None and now_s >= self._next_flush_s:
            self._file.append()
            self._next_flush_s = now_s + self._testbed.setting.check_period_s
        if self._observe is not None:
            self._observe(server, now_s)

    def wish(self) -> Wish:
        """Ask for a stop if a signal has come, for a snapshot if one is due and the last one is written."""
        if self._stop.number:
            return Wish.STOP
        if self._folder is None or time.monotonic() < self._next_save_s:
            return Wish.NOTHING
        try:
            return Wish.SAVE if self.is_saved() else Wish.NOTHING
        except TraceError as exc:
            self._say(f"no checkpoint: {exc}")
            return Wish.SAVE

    def on_signal(self, number: int, rank: int) -> None:
        """Take note that another rank got a signal."""
        self._stop.note(number, rank)

    @property
    def stop_reason(self) -> str:
        """Who asked for a stop."""
        return self._stop.reason

    def save(self, snapshot: Snapshot) -> None:
        """Write a checkpoint in a thread, after the one that is being written."""
        if self._folder is None:
            return
        if self._file is not None:
            self._file.append()  # a checkpoint is worth nothing without the rows before it
        self._writing = self._writer.submit(self._write_checkpoint, self._folder, snapshot)
        self._next_save_s = time.monotonic() + self._interval_s

    def wait_saved(self) -> None:
        """Wait until the last checkpoint is written."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def is_saved(self) -> bool:
        """Whether the last checkpoint is written.

        Raises
        ------
        TraceError
            if it cannot be
        """
        if self._writing is not None and not self._writing.done():
            return False
        self.wait_saved()
        return True

    def finish(self, outcome: Outcome) -> Result:
        """Close the trace, write final parameters and summary, and return all of it."""
        assert self._trace is not None, "the run has begun"
        trace: TraceView = self._trace
        if self._file is not None and self._folder is not None:
            with self._file:
                pass
            trace = read_trace(self._folder.trace)
        summary = {
            **summarize(trace, self._config.stop.target_loss),
            "version": outcome.version,
            "finished": outcome.is_finished,
            "stop_reason": outcome.stop_reason,
            "test_loss": outcome.test_loss,
            "test_accuracy": outcome.test_accuracy,
            "lost_workers": list(outcome.lost_workers),
        }
        self._writer.shutdown()
        if self._folder is not None:
            if self._saved != outcome.version:
                self._write_checkpoint(self._folder, Snapshot(outcome.parameters, outcome.version, outcome.time_s, {}))
            self._folder.write_summary(summary)
        return Result(summary, outcome.parameters, self._testbed.model.layout, trace, self.folder)

    def _write_checkpoint(self, folder: RunFolder, snapshot: Snapshot) -> None:
        attributes: dict[str, Attribute] = {
            "scheme": self._config.scheme,
            "model": self._testbed.model.name,
            "driver": self._driver,
            "time_s": snapshot.time_s,
        }
        entries = self._testbed.model.layout.entries()
        path = folder.checkpoint(snapshot.version)
        if self._file is not None:
            self._file.sync()  # the rows that it counts must not be younger on the disk
        write_checkpoint(path, snapshot.parameters, entries, snapshot.version, attributes, snapshot.state or None)
        self._saved = snapshot.version
        prune_checkpoints(folder, self._config.output.keep_checkpoints, good=path)

    def _write_config(self, testbed: Testbed) -> None:
        assert self._folder is not None
        self._folder.write_config(_toml(testbed))


def _toml(testbed: Testbed) -> str:
    return to_toml(repeatable(testbed.config, testbed.n_workers))
