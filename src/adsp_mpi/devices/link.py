"""The server's link, which all workers share."""

from __future__ import annotations


class SharedLink:
    """Carries one transfer after another, in the order in which they were asked for.

    Parameters
    ----------
    bytes_per_s : inf for a link that delays nobody

    Attributes
    ----------
    free_s : when the last transfer asked for ends
    """

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self.free_s = 0.0

    def reserve(self, now_s: float, size_bytes: int) -> tuple[float, float]:
        """Return when a transfer that is asked for now begins and ends; times asked at never go back."""
        begin_s = max(now_s, self.free_s)
        self.free_s = begin_s + size_bytes / self._bytes_per_s
        return begin_s, self.free_s
