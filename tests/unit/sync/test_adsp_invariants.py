"""What ADSP promises on machines of constant speed: equal commit counts, nobody waits, cycles of Γ/ΔC.

Whole runs in virtual time. Lengths of time are shares of the check period Γ, unless they are named ``_s``.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adsp_mpi import simulate

UPDATE_BYTES = 4 * 650  # softmax on digits: 64 × 10 weights, 10 biases
N_PERIODS = 8
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Machine:
    """A worker: its step time t, and what its overhead O is made of."""

    step: float
    latency: float = 0.0
    uplink: float = 0.0
    downlink: float = 0.0

    @property
    def overhead(self):
        return self.latency + self.uplink + self.downlink

    def table(self, period_s):
        links = {"uplink_bytes_per_s": self.uplink, "downlink_bytes_per_s": self.downlink}
        return {
            "step_time_s": self.step * period_s,
            "latency_s": self.latency * period_s,
            **{key: UPDATE_BYTES / (duration * period_s) for key, duration in links.items() if duration},
        }


@dataclass(frozen=True)
class Case:
    rate: float
    machines: tuple[Machine, ...]
    period_s: float = 1.0


class Run:
    """A case carried out, and what the tests read from its trace."""

    def __init__(self, case):
        self.case = case
        entries = [machine.table(case.period_s) for machine in case.machines]
        result = simulate(
            {
                "model": {"name": "softmax", "batch_size": 1},
                "data": {"validation_limit": 1},
                "sync": {"scheme": "adsp", "commit_rate": case.rate, "check_period_s": case.period_s},
                "devices": {"profile": "table", "jitter": 0.0, "worker": entries},
                "stop": {"max_time_s": (N_PERIODS + 0.5) * case.period_s},
            },
            write=False,
        )
        self.slow_workers = result.summary["slow_workers"]
        self._rows = result.trace.arrays("workers")
        self._commits = result.trace.arrays("commits")
        self.blocked_s = self._rows["blocked_s"]

    def commits(self, worker, column):
        """Return a column of the worker's commits applied."""
        return self._commits[column][(self._commits["worker"] == worker) & (self._commits["status"] == 0)]

    def counts(self, n):
        """Return the commit counts at checkpoint n, as the server found them.

        The table of commits says the same, but cannot tell whether one at the very time of the checkpoint came before.
        """
        at_checkpoint = np.isclose(self._rows["time_s"], n * self.case.period_s, rtol=TOLERANCE)
        counts = self._rows["commits"][at_checkpoint]
        for worker, count in enumerate(counts):
            times = self.commits(worker, "time_s") / self.case.period_s
            assert np.sum(times < n - TOLERANCE) <= count <= np.sum(times < n + TOLERANCE)
        return counts

    def steady_cycles(self, worker):
        """Return (cycle, ΔC), pull completed to pull completed, where ΔC stayed as it was; without the first cycle."""
        deltas = [self.case.rate, *self._rows["target"][self._rows["worker"] == worker]]  # from checkpoint n on
        starts = self.commits(worker, "started_s") / self.case.period_s
        for begin, end in list(pairwise(starts))[1:]:
            told = {deltas[n] for n in range(int(begin - TOLERANCE), int(end + TOLERANCE) + 1)}
            if len(told) == 1:
                yield end - begin, told.pop()


shares = st.just(0.0) | st.floats(0.01, 1)
periods_s = st.floats(0.01, 1000)


@st.composite
def cases(draw, rates):
    """Draw machines that can all keep up: t + O <= Γ/(ρ + 1)."""
    rate = draw(rates)
    machines = []
    for _ in range(draw(st.integers(1, 5))):
        cycle = draw(st.floats(0.03, 1)) / (rate + 1)
        parts = [draw(st.floats(0.1, 1)), draw(shares), draw(shares), draw(shares)]
        machines.append(Machine(*(cycle * part / sum(parts) for part in parts)))
    return Case(rate, tuple(machines), draw(periods_s))


@settings(max_examples=60)
@given(cases(st.integers(1, 5)))
@example(Case(1, (Machine(0.5), Machine(0.375))))  # commits at the very time of checkpoints
@example(Case(5, (Machine(1 / 6), Machine(0.1666), Machine(0.01))))
@example(Case(3, (Machine(0.25), Machine(0.03), Machine(0.01, 0.24), Machine(0.13, 0.06, 0.06))))
def test_commit_counts_differ_by_one_periods_rate_at_most_and_nobody_waits(case):
    run = Run(case)
    for n in range(1, N_PERIODS + 1):
        assert np.ptp(run.counts(n)) <= max(1, case.rate)
    assert not run.blocked_s.any()


@settings(max_examples=30)
@given(cases(st.floats(1, 5)))
@example(Case(1.28515625, (Machine(0.4376), Machine(0.4376), Machine(0.01))))  # 9, 9 and 11 at checkpoint 8
def test_a_rate_that_is_no_whole_number_counts_as_the_next_one(case):
    run = Run(case)
    for n in range(1, N_PERIODS + 1):
        assert np.ptp(run.counts(n)) <= ceil(case.rate)


@settings(max_examples=60)
@given(cases(st.integers(1, 5) | st.floats(1, 5)))
@example(Case(5, (Machine(1 / 60, 0.15), Machine(0.01))))  # ΔC = 7 while it catches up, and O > Γ/7
@example(Case(4, (Machine(0.07, 0.05), Machine(0.19), Machine(0.01, 0.02, 0.03, 0.04))))
def test_a_cycle_lasts_its_share_of_the_period_up_to_the_next_step(case):
    run = Run(case)
    n_cycles = 0
    for worker, machine in enumerate(case.machines):
        for cycle, delta in run.steady_cycles(worker):
            n_cycles += 1
            if machine.overhead <= 1 / delta:
                assert -TOLERANCE <= cycle - 1 / delta < machine.step + TOLERANCE
            else:  # only where ΔC > ρ + 1: a worker that catches up, commits after every step
                assert delta > case.rate + 1
                assert cycle == pytest.approx(machine.step + machine.overhead, abs=TOLERANCE)
    assert n_cycles


@st.composite
def cases_with_a_slow_worker(draw):
    """Draw machines one of which cannot keep up, and where it stands."""
    rate = draw(st.integers(1, 5))
    times = st.floats(0.05, 0.2).map(lambda share: share / rate)
    machines = [Machine(draw(times), draw(times)) for _ in range(draw(st.integers(1, 4)))]
    slow = draw(st.integers(0, len(machines)))
    machines.insert(slow, Machine(draw(st.floats(1.05, 3)) / rate, draw(shares) / rate))
    return Case(rate, tuple(machines), draw(periods_s)), slow


@settings(max_examples=30)
@given(cases_with_a_slow_worker())
def test_a_slow_worker_commits_after_every_step_is_named_and_holds_up_nobody(case_and_slow):
    case, slow = case_and_slow
    run = Run(case)
    assert (run.commits(slow, "steps") == 1).all()
    assert run.slow_workers == [slow]
    assert not run.blocked_s.any()
    for n in range(1, N_PERIODS + 1):
        assert np.ptp(np.delete(run.counts(n), slow)) <= case.rate
