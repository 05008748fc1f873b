"""What is to happen when, in virtual time."""

from __future__ import annotations

import heapq
import math

Event = tuple[float, int, str, int, float]  # time, order, what happens, to which worker, a number that goes with it


class EventQueue:
    """Events in order of time, ties in the order in which they were scheduled; plain data, so that they can be saved.

    Attributes
    ----------
    now_s : the time of the event that is being carried out
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._events: list[Event] = []
        self._n_events = 0

    @property
    def next_s(self) -> float:
        """Time of the next event, inf if there is none."""
        return self._events[0][0] if self._events else math.inf

    def at(self, time_s: float, what: str, worker: int, value: float = 0.0) -> None:
        """Let something happen at a time."""
        heapq.heappush(self._events, (time_s, self._n_events, what, worker, value))
        self._n_events += 1

    def after(self, delay_s: float, what: str, worker: int, value: float = 0.0) -> None:
        """Let something happen after a delay."""
        heapq.heappush(self._events, (self.now_s + delay_s, self._n_events, what, worker, value))
        self._n_events += 1

    def pop(self) -> Event:
        """Go to the next event."""
        event = heapq.heappop(self._events)
        self.now_s = event[0]
        return event

    def state(self) -> dict[str, object]:
        """Return everything, as plain data."""
        return {"now_s": self.now_s, "events": [list(event) for event in self._events], "n_events": self._n_events}

    def restore(self, now_s: float, events: list[list[object]], n_events: int) -> None:
        """Take over a state."""
        self.now_s, self._n_events = now_s, n_events
        self._events = [(time_s, order, what, worker, value) for time_s, order, what, worker, value in events]  # type: ignore[misc]  # plain data
