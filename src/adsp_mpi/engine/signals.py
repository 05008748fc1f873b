"""Signals that ask for a clean stop: the handler only takes note, whoever runs the show looks."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequest:
    """Take note of SIGTERM, SIGUSR1 and SIGINT within a ``with`` block; SIGINT after any of them interrupts as ever.

    Outside of the main thread, where Python allows no handlers, nothing is noted.

    Attributes
    ----------
    number : the first signal, 0 if none has come
    """

    def __init__(self) -> None:
        self.number = 0
        self._rank = 0
        self._before: dict[int, Any] = {}

    def note(self, number: int, rank: int) -> None:
        """Take note of a signal that another rank got."""
        if not self.number:
            self.number, self._rank = number, rank

    @property
    def reason(self) -> str:
        """Say who asked."""
        where = f" on rank {self._rank}" if self._rank else ""
        return f"asked to by {signal.Signals(self.number).name}{where}"

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = self.number or number

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in ASKING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
