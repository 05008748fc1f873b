"""What the server is made of, and how that is saved and brought back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from adsp_mpi.config.sections import Config
from adsp_mpi.engine.messages import Control, WorkerStatus
from adsp_mpi.engine.server.answers import Answers
from adsp_mpi.engine.server.cluster import CountedView
from adsp_mpi.engine.server.ending import Ending
from adsp_mpi.engine.server.ledger import Ledger
from adsp_mpi.engine.server.published import PublishedParameters
from adsp_mpi.engine.server.rounds import Rounds
from adsp_mpi.engine.server.settling import Settling
from adsp_mpi.engine.server.state import Clock, ServerState, server_state, to_tree
from adsp_mpi.records import LossSample
from adsp_mpi.store.trace import Trace
from adsp_mpi.sync.scheme import Scheme
from adsp_mpi.sync.view import TICKS_PER_CHECK_PERIOD, Setting
from adsp_mpi.updates.payload.codec import Codec

Array = NDArray[Any]


class Books:
    """The server's parts and all that it remembers; `Server` adds what happens.

    Attributes
    ----------
    statuses : what each worker last told about itself
    stop_reason : None until the final version is published
    last_sample : the last loss sample, None before the first
    """

    def __init__(
        self,
        scheme: Scheme,
        setting: Setting,
        config: Config,
        published: PublishedParameters,
        codec: Codec,
        trace: Trace,
    ) -> None:
        n = setting.n_workers
        self._scheme = scheme
        self._published = published
        self._codec = codec
        self._start_step = config.model.start_step
        self._ending = Ending(config.stop)
        self._ledger = Ledger(trace, n)
        self._rounds = Rounds(scheme, CountedView(n, live=set(range(n))), self._start_step)
        self._settling = Settling(self._rounds, published, codec, self._ledger, self._ending)
        self._answers = Answers(scheme, n)
        self.check_period_s = setting.check_period_s
        self._tick_s = setting.check_period_s / TICKS_PER_CHECK_PERIOD
        self._clock = Clock(next_record_s=setting.check_period_s * (1 - 1e-9), turn_s=math.inf)
        self.statuses = [WorkerStatus() for _ in range(n)]
        self.last_sample: LossSample | None = None
        self.stop_reason: str | None = None
        self.stopped_s = math.nan
        self._rows_at_stop: dict[str, int] | None = None

    @property
    def view(self) -> CountedView:
        """What the scheme sees: clocks, live workers, held commits."""
        return self._rounds.view

    @property
    def controls(self) -> list[Control]:
        """What each worker is told."""
        return self._answers.controls

    def state(self) -> dict[str, Any]:
        """Return everything but the parameters and the payloads of held commits, as plain data."""
        state = ServerState(
            view=self.view,
            rounds=self._rounds.books,
            totals=self._ledger.totals,
            ending=self._ending.books,
            clock=self._clock,
            controls=self.controls,
            statuses=self.statuses,
            changed=self._answers.changed,
            held=self._settling.headers(),
            last_sample=self.last_sample,
            start_step=self._start_step,
            rows=self._rows_at_stop or self._ledger.counts,  # what a stop adds is none of a longer run
        )
        return to_tree(state, self._published.state(), self._scheme.state())

    def _restore(self, parameters: Array, tree: Mapping[str, Any]) -> ServerState:
        state = server_state(tree)
        self._published.restore(parameters, tree["published"])
        self._scheme.restore(tree["scheme"])
        self._rounds.view, self._rounds.books = state.view, state.rounds
        self._ledger.totals = state.totals
        self._ending.restore(state.ending)
        self._clock = state.clock
        self._answers.controls, self._answers.changed = state.controls, state.changed
        self.statuses, self.last_sample = state.statuses, state.last_sample
        return state
