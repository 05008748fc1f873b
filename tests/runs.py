"""Short runs, and what their commit logs say: shared by the tests of both drivers."""

import numpy as np

from adsp_mpi import models
from adsp_mpi.config.load import build_config
from adsp_mpi.engine.replay import replay
from adsp_mpi.engine.testbed import assemble
from adsp_mpi.store.schema import CommitStatus

SCHEMES = {
    "adsp": {"scheme": "adsp", "momentum": 0.5},
    "adsp at a given rate": {"scheme": "adsp", "commit_rate": 3.0},
    "bsp": {"scheme": "bsp"},
    "bsp with momentum": {"scheme": "bsp", "momentum": 0.9},
    "asp": {"scheme": "asp"},
    "ssp": {"scheme": "ssp", "staleness": 2},
    "ssp, strict": {"scheme": "ssp", "staleness": 2, "strict": True, "momentum": 0.5},
    "ssp, pull when needed": {"scheme": "ssp", "staleness": 3, "pull": "when_needed"},
    "ssp with automatic momentum": {"scheme": "ssp", "staleness": 2, "momentum": "auto", "target_momentum": 0.1},
    "adsp with automatic momentum": {"scheme": "adsp", "commit_rate": 3.0, "momentum": "auto"},
    "fixed_adacomm": {"scheme": "fixed_adacomm", "tau": 4},
    "adacomm": {"scheme": "adacomm", "tau": 8},
    "adacomm, tau searched": {"scheme": "adacomm", "tau": "auto", "interval_s": 0.02},
    "adsp_plus": {"scheme": "adsp_plus", "slowest_steps": 2},
    "r2sp": {"scheme": "r2sp"},
    "batchtune_bsp": {"scheme": "batchtune_bsp"},
    "batchtune_bsp, weighted": {"scheme": "batchtune_bsp", "weighted": True, "momentum": 0.5},
    "batchtune_fixed_adacomm": {"scheme": "batchtune_fixed_adacomm", "tau": 4, "weighted": True},
    "adsp, overlapped": {"scheme": "adsp", "commit_rate": 6.0, "overlap": True, "momentum": 0.5},
    "asp, overlapped": {"scheme": "asp", "overlap": True},
    "asp, two in flight": {"scheme": "asp", "overlap": True, "in_flight": 2},
}
SERIAL_CASES = [  # a model, and how far a synchronous run of it may be from serial SGD
    ({"name": "softmax"}, 1e-6),
    ({"name": "mlp", "weight_decay": 1e-3}, 1e-6),
    ({"name": "cnn-digits", "dtype": "float64", "decay_factor": 0.5, "decay_steps": 20}, 1e-12),
]
BOUNDS = {"ssp": 2, "ssp, strict": 1, "ssp, pull when needed": 3}  # most steps ahead of the slowest


def tables(sync, /, **sections):
    """Return the tables of a short run: steps of 2 to 8 ms, check periods of 0.1 s; `sections` come on top."""
    base = {
        "model": {"name": "softmax", "batch_size": 8},
        "sync": {"check_period_s": 0.1, **sync},
        "devices": {"step_time_s": 0.002, "jitter": 0.2},
        "stop": {"max_time_s": 0.6},
    }
    return {name: {**base.get(name, {}), **sections.get(name, {})} for name in base | sections}


def log_of(trace):
    """Return what a replay reads of a trace."""
    return {name: trace.arrays(name) for name in ("commits", "pulls")}


def is_replayed(config, n_workers, result, log=None):
    """Whether a log, by default the run's own, leads to the run's final parameters bit for bit."""
    log = log or log_of(result.trace)
    replayed = replay(assemble(build_config(config), n_workers), log)
    return (
        replayed.first_difference is None
        and replayed.version == result.summary["version"]
        and replayed.parameters.tobytes() == result.parameters.tobytes()
    )


def serial_sgd(config, n_workers, n_steps):
    """Return the parameters after plain SGD on the batches of all workers joined to one; nothing of the engine's."""
    testbed = assemble(build_config(config), n_workers)
    options = testbed.config.model
    model = models.create(options, testbed.dataset.sample_shape, testbed.dataset.n_classes)
    w = model.initial(testbed.config.run.seed)
    gradient = np.empty_like(w)
    for step in range(n_steps):
        batches = []
        for worker in range(n_workers):
            x, y = testbed.sampler.batch(worker, step, options.batch_size)
            batches.append((x.copy(), y.copy()))
        x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        model.loss_and_grad(w, x, y, gradient)
        w = w - w.dtype.type(options.learning_rate_at(step)) * gradient
    return w


def distance(w, expected):
    """‖ΔW‖₂/‖W‖₂."""
    return np.linalg.norm(w - expected) / np.linalg.norm(expected)


def largest_lead(commits, n_workers):
    """Return the most steps that any worker was ahead of the slowest when it started a step.

    Commits are counted by the clock, which the ranks of one node share; each holds one step.
    """
    applied = commits["status"] == CommitStatus.MERGED
    times_s = [commits["time_s"][applied & (commits["worker"] == worker)] for worker in range(n_workers)]
    leads = []
    for worker, number, started_s in zip(
        *(commits[c].tolist() for c in ("worker", "number", "started_s")), strict=True
    ):
        completed = [int(np.searchsorted(times, started_s, "right")) for times in times_s]
        assert completed[worker] == number - 1
        leads.append(completed[worker] - min(completed))
    return max(leads)


def largest_age(commits, n_workers):
    """Return the most steps that any worker was ahead of the slowest it had seen when it pulled; no clock is used."""
    clocks = np.zeros((commits["version"].max() + 1, n_workers), int)  # at each version
    for worker, version in zip(commits["worker"], commits["version"], strict=True):
        if version >= 0:
            clocks[version:, worker] += 1
    slowest = clocks[commits["base_version"]].min(axis=1)
    return int((commits["number"] - 1 - slowest).max())
