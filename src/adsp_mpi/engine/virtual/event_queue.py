"""What is to happen when, in virtual time."""

from __future__ import annotations

import heapq

Event = tuple[float, int, str, int, float]  # time, order, what happens, to which worker, a number that goes with it


class EventQueue:
    """Events in order of time, ties in the order in which they were scheduled; plain data, so that they can be saved.

    Attributes
    ----------
    now_s : the time of the event that is being carried out
    events : a heap; whoever runs the simulation takes its first item, and sets `now_s`
    n_events : scheduled so far
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.events: list[Event] = []
        self.n_events = 0

    def at(self, time_s: float, what: str, worker: int, value: float = 0.0) -> None:
        """Let something happen at a time."""
        heapq.heappush(self.events, (time_s, self.n_events, what, worker, value))
        self.n_events += 1

    def after(self, delay_s: float, what: str, worker: int, value: float = 0.0) -> None:
        """Let something happen after a delay."""
        heapq.heappush(self.events, (self.now_s + delay_s, self.n_events, what, worker, value))
        self.n_events += 1

    def state(self) -> dict[str, object]:
        """Return everything, as plain data."""
        return {"now_s": self.now_s, "events": [list(event) for event in self.events], "n_events": self.n_events}

    def restore(self, now_s: float, events: list[list[object]], n_events: int) -> None:
        """Take over a state."""
        self.now_s, self.n_events = now_s, n_events
        self.events[:] = [(time_s, order, what, worker, value) for time_s, order, what, worker, value in events]  # type: ignore[misc]  # plain data
