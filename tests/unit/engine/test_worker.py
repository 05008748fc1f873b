"""The worker program: what it asks for, in which order, by scheme."""

import math
from contextlib import suppress

import numpy as np
import pytest

from adsp_mpi.config.load import build_config
from adsp_mpi.engine.messages import Control
from adsp_mpi.engine.worker.program import Worker
from adsp_mpi.engine.worker.requests import Compute, HandIn, Pull, Release, Reply
from adsp_mpi.sync import scheme_class
from adsp_mpi.sync.view import Setting


class CountingModel:
    """A local model whose steps add one to the update."""

    def __init__(self):
        self.parameters, self.update = np.zeros(2), np.zeros(2)
        self.pulled = np.zeros((3, 2))
        self.step_index, self.number = 0, 1
        self.loss = 0.0
        self.batch_sizes = []
        self.done = []

    def learning_rate_at(self, step):
        return 0.5**step

    def compute(self, batch_size):
        self.batch_sizes.append(batch_size)
        self.loss = float(self.step_index + 1)

    def apply(self):
        self.step_index += 1
        self.update += 1

    def replace(self, pulled):
        self.done.append("replace")
        self.update[:] = 0

    def rebase(self, pulled, in_flight):
        self.done.append(f"rebase {in_flight}")

    def beside(self, number=0):
        return self.pulled[number % 3]

    def close(self, pulled=None):
        self.done.append("close" if pulled is None else "close with W")

    def payload_of(self, number):
        return self.update

    def hand_over(self):
        self.number += 1
        self.update = np.zeros(2)


COST_S = {Pull: 0.5, Compute: 1.0, HandIn: 0.25, Release: 2.0}


class Script:
    """Drives a program by hand; every request takes the `COST_S` of its kind."""

    def __init__(self, scheme, worker=0, **sync):
        self.local = CountingModel()
        options = build_config({"sync": {"scheme": scheme, **sync}}).sync
        rules = scheme_class(scheme)(options, Setting(4, check_period_s=12.0))
        self.program = Worker(worker, 4, rules, self.local).program()
        self.control = Control(target=rules.target(worker), batch_size=8)
        self.now_s = 0.0
        self.version = 10
        self.commits = []
        self.updates = []
        self.request = next(self.program)

    def run(self, n):
        """Carry out n requests; return their kinds in short."""
        return "".join(self._carry_out()[0] for _ in range(n))

    def run_to_end(self):
        """Carry out what is left."""
        kinds = ""
        with suppress(StopIteration):
            while True:
                kinds += type(self.request).__name__[0]
                self._carry_out()
        return kinds

    def _carry_out(self):
        request = self.request
        self.now_s += COST_S[type(request)]
        version = -1
        match request:
            case Pull():
                version = self.version
                self.version += 1
            case Compute():
                assert request.step == self.local.step_index
                request.run(request.batch_size)
                request.finish()
            case HandIn():
                self.commits.append(request.commit)
                self.updates.append(request.payload.copy())
            case Release():
                assert request.number == self.commits[-1].number
        self.request = self.program.send(Reply(self.now_s, self.control, version, retries=3))
        return type(request).__name__


@pytest.mark.parametrize("scheme", ["bsp", "asp", "ssp"])
def test_schemes_that_commit_after_every_step(scheme):
    script = Script(scheme)
    assert script.run(9) == "PCHRPCHRP"
    first, second = script.commits
    assert (first.number, first.first_step, first.steps, second.number, second.first_step) == (1, 0, 1, 2, 1)
    assert (first.base_version, second.base_version) == (10, 11)
    assert (first.started_s, second.started_s) == (0.5, 4.25)
    assert math.isnan(first.overhead_s)
    assert second.overhead_s == 0.25 + 2.0 + 0.5  # from the end of the step until fresh parameters are held
    assert (first.learning_rate, second.learning_rate) == (1.0, 0.5)
    assert (second.batch_size, second.retries, second.is_pulled) == (8, 3, True)


def test_local_sgd_commits_after_tau_steps_and_clears_the_update():
    script = Script("fixed_adacomm", tau=3)
    assert script.run(12) == "PCCCHRPCCCHR"
    assert [(c.first_step, c.steps, c.train_loss) for c in script.commits] == [(0, 3, 2.0), (3, 3, 5.0)]
    assert [update.tolist() for update in script.updates] == [[3.0, 3.0]] * 2


def test_adsp_commits_at_the_first_step_boundary_after_its_timer():
    """Γ/ΔC = 12/4 = 3 s, less the overhead of 2.75 s from the second commit on; worker 0 is not staggered."""
    script = Script("adsp", commit_rate=4.0)
    assert script.run(14) == "PCCCHRPCHRPCHR"
    assert [commit.steps for commit in script.commits] == [3, 1, 1]


def test_adsp_staggers_the_first_timer():
    """Worker 2 of 4 has half of it: 1.5 s, so two steps."""
    assert Script("adsp", worker=2, commit_rate=4.0).run(5) == "PCCHR"


def test_worker_goes_on_without_a_pull_if_told_so():
    script = Script("ssp", pull="when_needed")
    script.control.pull = False
    assert script.run(7) == "PCHRCHR"
    assert [(c.base_version, c.is_pulled, c.retries) for c in script.commits] == [(10, True, 3), (10, False, 0)]
    script.control.pull = True
    assert script.run(2) == "CH"
    assert script.run(2) == "RP"


def test_batch_size_changes_only_at_a_pull():
    script = Script("fixed_adacomm", tau=2)
    script.run(2)
    script.control.batch_size = 16
    script.run(5)
    assert script.local.batch_sizes == [8, 8, 16]
    assert [commit.batch_size for commit in script.commits] == [8]


@pytest.mark.parametrize(("n_before", "rest"), [(2, "C"), (3, "HR"), (4, "R"), (5, "P"), (6, "C")])
def test_told_to_stop_it_carries_out_what_it_has_begun_and_drops_its_remainder(n_before, rest):
    script = Script("fixed_adacomm", tau=2)
    script.run(n_before)
    script.control.stop = True
    assert script.run_to_end() == rest
