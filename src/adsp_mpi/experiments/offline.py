"""The offline search of ADSP+ as part of an experiment: its trials are runs like others, and kept like others."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from adsp_mpi import devices
from adsp_mpi.analysis.sweeps import SCHEME, TIME, Row, RunRecord
from adsp_mpi.experiments.description import Study
from adsp_mpi.experiments.plan import Case, Point, configuration
from adsp_mpi.experiments.probe import workers_of
from adsp_mpi.experiments.runs import Runs, Told
from adsp_mpi.sync.search.offline import LocalSteps, search_local_steps

SCHEME_SEARCHED = "adsp_plus"
LOCAL_STEPS = "sync.local_steps"
MAX_TRIALS = 24


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes
    ----------
    local_steps : k_i of each worker
    spent_s : device seconds of all trials
    """

    local_steps: LocalSteps
    trials: int
    spent_s: float


def is_searched(case: Case) -> bool:
    """Whether the numbers of local steps of a point are to be searched."""
    return case.point.get(SCHEME) == SCHEME_SEARCHED


def search(study: Study, case: Case, tuned: Point, runs: Runs, told: Told) -> Found:
    """Search for the numbers of local steps with the shortest time to the target, on the first seed of the tuning."""
    seed = study.experiment.tuning.seeds[0]
    plain = configuration(study, case, tuned, seed)
    fleet = devices.build(plain.devices, workers_of(plain))
    n_trials = 0

    def time_to_target(local_steps: LocalSteps) -> float:
        nonlocal n_trials
        config = configuration(study, case, {**tuned, LOCAL_STEPS: list(local_steps)}, seed)
        (record,) = runs.records([config])
        n_trials += 1
        told(n_trials, MAX_TRIALS)
        time_s = record.summary[TIME]
        return math.inf if time_s is None else float(time_s)

    result = search_local_steps(time_to_target, [1 / device.step_time_s for device in fleet], MAX_TRIALS)
    assert plain.stop.max_time_s is not None, "experiments have it"
    return Found(result.best.local_steps, len(result.trials), result.spent_s(plain.stop.max_time_s))


def with_search_time(row: Row, found: Found) -> Row:
    """Return the row as it is when the search has to be waited for first."""
    runs = [RunRecord({**run.summary, TIME: _later(run.summary[TIME], found.spent_s)}, run.curve) for run in row.runs]
    late = [
        replace(run, curve={**run.curve, "time_s": [time_s + found.spent_s for time_s in run.curve["time_s"]]})
        for run in runs
    ]
    return replace(row, point={**row.point, SCHEME: f"{SCHEME_SEARCHED}, search included"}, runs=late)


def _later(time_s: float | None, by_s: float) -> float | None:
    return None if time_s is None else time_s + by_s
