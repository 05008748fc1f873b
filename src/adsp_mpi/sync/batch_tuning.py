"""Batch sizes after speed, for any scheme with a barrier: what BatchTune adds to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from adsp_mpi.sync.decisions import Decision, Merge
from adsp_mpi.sync.scheme import Scheme, SyncOptions, round_members
from adsp_mpi.sync.view import Setting, View


@dataclass(frozen=True, kw_only=True)
class BatchTuneOptions(SyncOptions):
    """What batch tuning adds to a scheme's options."""

    # weigh updates by their samples, instead of all alike
    weighted: bool = False


class BatchTuning(Scheme):
    """Give every worker a batch after its speed, so that all take equally long for a step.

    b_i = B m (1/t_i) / Σ(1/t_j), t_i the time per sample, chosen anew at every check; all batches together always
    hold B m samples, at the start B each. Mixed into a scheme, before it.

    Notes
    -----
    Source: Chen, Wang, Li, INFOCOM 2019, as the ADSP authors' code has it. Differs: t_i is measured per sample, over
    the check period before; that code takes the time per step, with which batches swing. Samples left over by rounding
    down go to the largest remainders, so the total stays; no batch is empty. With `weighted`, updates weigh
    b_i / mean b, so η = 1/m remains that of a mean; that code weighs all alike.
    """

    def __init__(self, options: BatchTuneOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._is_weighted = options.weighted
        self._batch_sizes = [setting.batch_size] * setting.n_workers
        self._sample_times_s = [math.nan] * setting.n_workers  # of the last period in which the worker made steps
        self._next_check_s = setting.check_period_s

    def batch_size(self, worker: int) -> int:
        """b_i."""
        return self._batch_sizes[worker]

    def decide(self, view: View) -> Iterator[Decision]:
        """Merge the round alike, or by the samples of each commit over their mean."""
        if not self._is_weighted:
            yield from super().decide(view)
        elif view.is_round_whole:
            keys = round_members(view)
            sizes = [view.batch_sizes[worker] for worker, _ in keys]
            yield Merge(keys, [len(keys) * size / sum(sizes) for size in sizes])

    def on_tick(self, time_s: float, view: View) -> Iterable[object]:
        """At a check, choose batches anew."""
        if self.setting.is_past(time_s, self._next_check_s):
            self._next_check_s = time_s + self.setting.check_period_s
            self._choose(view)
        return super().on_tick(time_s, view)

    def _choose(self, view: View) -> None:
        for worker, measured_s in enumerate(view.sample_times_s):
            if measured_s > 0:
                self._sample_times_s[worker] = measured_s
        live = sorted(view.live)
        speeds = [1 / self._sample_times_s[worker] for worker in live]
        if live and not math.isnan(sum(speeds)):
            for worker, size in zip(live, shares(self.setting.batch_size * len(live), speeds), strict=True):
                self._batch_sizes[worker] = size


def shares(total: int, speeds: Sequence[float]) -> list[int]:
    """Split `total` samples in proportion to `speeds`: whole numbers of at least 1 with that sum.

    Parameters
    ----------
    total : at least one for each speed
    """
    exact = [total * speed / sum(speeds) for speed in speeds]
    sizes = [max(1, math.floor(share)) for share in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda i: sizes[i] - exact[i])
    for i in by_remainder[: max(total - sum(sizes), 0)]:
        sizes[i] += 1
    while (excess := sum(sizes) - total) > 0:  # batches of 1 took more than their share
        donors = [i for i in reversed(by_remainder) if sizes[i] > 1]
        for i in donors[:excess]:
            sizes[i] -= 1
    return sizes
