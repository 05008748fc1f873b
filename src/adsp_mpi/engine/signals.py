"""Signals that ask for a clean stop: the handler only takes note, whoever runs the show looks."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequest:
    """Take note of SIGTERM, SIGUSR1 and SIGINT within a ``with`` block; SIGINT after any of them interrupts as ever.

    One inside of another knows what that has noted, and tells it in the end what it has noted itself. Outside of the
    main thread, where Python allows no handlers, nothing is noted.

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

    def ignore(self) -> None:
        """Heed no signal any more: what is left to do is the end, and nothing shall come between."""
        if self._before:
            self._before = {}
            for number in ASKING:
                signal.signal(number, signal.SIG_IGN)

    @property
    def reason(self) -> str:
        """Say which signal came, and where."""
        where = f" on rank {self._rank}" if self._rank else ""
        return f"signal {signal.Signals(self.number).name}{where}"

    @property
    def _outer(self) -> StopRequest | None:
        owner = getattr(self._before.get(signal.SIGTERM), "__self__", None)
        return owner if isinstance(owner, StopRequest) else None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = self.number or number

    def hold(self) -> None:
        """Set the handlers again, after a library has set its own."""
        if threading.current_thread() is threading.main_thread():
            for number in ASKING:
                before = signal.signal(number, self._on_signal)
                self._before.setdefault(number, before)

    def __enter__(self) -> Self:
        self.hold()
        if outer := self._outer:
            self.number, self._rank = outer.number, outer._rank
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if outer := self._outer:
            outer.number, outer._rank = self.number, self._rank
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
