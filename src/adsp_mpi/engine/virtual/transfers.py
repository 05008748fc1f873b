"""Commits and pulls on the emulated links, in virtual time: those a worker waits for, and those beside its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from adsp_mpi.devices import SharedLink
from adsp_mpi.engine.server.published import PublishedParameters
from adsp_mpi.engine.server.server import Server
from adsp_mpi.engine.virtual.event_queue import EventQueue
from adsp_mpi.engine.virtual.virtual_worker import Exchange, VirtualWorker
from adsp_mpi.engine.worker.requests import Arrival, Settle

Action = Callable[[VirtualWorker, float], None]


@dataclass
class Ends:
    """What transfers call when they have arrived."""

    reply: Callable[[VirtualWorker, int], None]  # to the worker, with the version pulled or -1
    deliver: Callable[[], None]  # the server's answers


class Transfers:
    """Move commits and parameters.

    A commit takes the uplink, then the server's own link; a pull half the latency, the server's link, the other half
    and the downlink. Where the server's link is not limited, nothing queues for it and its events are left out.

    Parameters
    ----------
    server_bytes_per_s : of the server's own link; None for one that delays nobody
    """

    def __init__(
        self,
        queue: EventQueue,
        server: Server,
        published: PublishedParameters,
        ends: Ends,
        server_bytes_per_s: float | None,
    ) -> None:
        self._queue = queue
        self._server = server
        self._published = published
        self._ends = ends
        self.link = SharedLink(server_bytes_per_s or math.inf)
        is_limited = server_bytes_per_s is not None
        self._pull_at_server, self._commit_at_server = ("ask", "send") if is_limited else ("read", "arrive")
        self.actions: dict[str, Action] = {
            "ask": self._ask,
            "read": self._read,
            "pulled": self._pulled,
            "send": self._send,
            "arrive": self._arrive,
            "launched": self._launched,
            "landed": self._landed,
            "fetch": self._fetch,
            "fetch asked": self._fetch_asked,
            "fetch read": self._fetch_read,
            "fetched": self._fetched,
        }

    # ---- what the worker waits for -----------------------------------------------------------------------------

    def pull(self, worker: VirtualWorker) -> None:
        """Begin a pull."""
        self._queue.after(worker.device.latency_s / 2, self._pull_at_server, worker.index)

    def hand_in(self, worker: VirtualWorker) -> None:
        """Begin to hand in a commit."""
        request = worker.request
        self._queue.after(worker.device.uplink_s(request.payload.nbytes), self._commit_at_server, worker.index)

    def _ask(self, worker: VirtualWorker, _: float) -> None:
        request = worker.request
        begin_s, end_s = self.link.reserve(self._queue.now_s, request.into.nbytes)
        self._from(begin_s, "read", worker, end_s - begin_s)

    def _read(self, worker: VirtualWorker, transfer_s: float) -> None:
        request = worker.request
        request.into[:] = self._published.current
        delay_s = transfer_s + worker.device.latency_s / 2 + worker.device.downlink_s(request.into.nbytes)
        self._queue.after(delay_s, "pulled", worker.index, self._published.version)

    def _pulled(self, worker: VirtualWorker, version: float) -> None:
        worker.status.communication_s += self._queue.now_s - worker.since_s
        self._ends.reply(worker, int(version))

    def _send(self, worker: VirtualWorker, _: float) -> None:
        request = worker.request
        _, end_s = self.link.reserve(self._queue.now_s, request.payload.nbytes)
        self._from(end_s, "arrive", worker)

    def _arrive(self, worker: VirtualWorker, _: float) -> None:
        request = worker.request
        worker.status.communication_s += self._queue.now_s - worker.since_s
        self._server.on_commit(request.commit, request.payload, self._queue.now_s)
        self._ends.deliver()
        self._ends.reply(worker, -1)

    # ---- beside steps ------------------------------------------------------------------------------------------

    def launch(self, worker: VirtualWorker) -> None:
        """Begin to hand in a commit, to be followed by a pull, beside what the worker does next."""
        request = worker.request
        if not worker.exchanges:
            worker.in_flight_since_s = self._queue.now_s
        worker.exchanges[request.commit.number] = Exchange(request.commit)
        uplink_s = worker.device.uplink_s(request.payload.nbytes)
        self._queue.after(uplink_s, "launched", worker.index, request.commit.number)

    def release(self, worker: VirtualWorker) -> None:
        """Begin the pull of those exchanges whose commit has been released."""
        released = worker.reply.control.released
        for number, exchange in worker.exchanges.items():
            if exchange.is_waiting and number <= released:
                exchange.is_waiting = False
                self._queue.after(0.0, "fetch", worker.index, number)

    def _launched(self, worker: VirtualWorker, number: float) -> None:
        size_bytes = worker.local.payload_of(int(number)).nbytes
        _, end_s = self.link.reserve(self._queue.now_s, size_bytes)
        self._from(end_s, "landed", worker, number)

    def _landed(self, worker: VirtualWorker, number: float) -> None:
        exchange = worker.exchanges[int(number)]
        exchange.is_waiting = True
        self._server.on_commit(exchange.commit, worker.local.payload_of(int(number)), self._queue.now_s)
        self._ends.deliver()

    def _fetch(self, worker: VirtualWorker, number: float) -> None:
        if worker.reply.control.pull and not worker.reply.control.stop:
            self._queue.after(worker.device.latency_s / 2, "fetch asked", worker.index, number)
        else:
            self._fetched(worker, number)

    def _fetch_asked(self, worker: VirtualWorker, number: float) -> None:
        begin_s, end_s = self.link.reserve(self._queue.now_s, self._published.current.nbytes)
        worker.exchanges[int(number)].transfer_s = end_s - begin_s
        self._from(begin_s, "fetch read", worker, number)

    def _fetch_read(self, worker: VirtualWorker, number: float) -> None:
        exchange, into = worker.exchanges[int(number)], worker.local.beside(int(number))
        into[:] = self._published.current
        exchange.version = self._published.version
        delay_s = exchange.transfer_s + worker.device.latency_s / 2 + worker.device.downlink_s(into.nbytes)
        self._queue.after(delay_s, "fetched", worker.index, number)

    def _fetched(self, worker: VirtualWorker, number: float) -> None:
        now_s = self._queue.now_s
        exchange = worker.exchanges.pop(int(number))
        worker.arrivals.append(Arrival(int(number), exchange.version, exchange.retries, now_s))
        if worker.exchanges:
            return
        is_waiting = isinstance(worker.request, Settle)
        worker.status.hidden_s += (worker.since_s if is_waiting else now_s) - worker.in_flight_since_s
        if is_waiting:
            self.settle(worker)

    def settle(self, worker: VirtualWorker) -> None:
        """Answer a worker that waits for everything in flight, if nothing is any more."""
        if not worker.exchanges:
            worker.status.communication_s += self._queue.now_s - worker.since_s
            self._ends.reply(worker, -1)

    def _from(self, time_s: float, what: str, worker: VirtualWorker, value: float = 0.0) -> None:
        """Let it happen at `time_s`; now, if that is now."""
        if time_s > self._queue.now_s:
            self._queue.at(time_s, what, worker.index, value)
        else:
            self.actions[what](worker, value)
