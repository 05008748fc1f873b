"""Questions are pure: asked twice, in whatever state, a scheme answers the same and is what it was before."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds_driver import RoundsDriver, loss_at
from runs import SCHEMES, tables

from adsp_mpi import sync
from adsp_mpi.config.load import build_config
from adsp_mpi.sync.view import Progress, Setting

N_WORKERS = 3
PERIOD_S = 0.1


def new_scheme(name):
    """Return a fresh scheme of `tests/runs.py`."""
    options = SCHEMES[name]
    cls = sync.scheme_class(options["scheme"])
    return cls(build_config(tables(options)).sync, Setting(N_WORKERS, PERIOD_S, target_loss=0.5, batch_size=8))


def answers(scheme, view):
    """Ask everything."""
    everybody = range(view.n_workers)
    targets = [scheme.target(worker) for worker in everybody]
    at_boundaries = [
        Progress(worker, view.n_workers, targets[worker], steps, commits, since_pull_s, overhead_s=0.01)
        for worker in everybody
        for steps, commits, since_pull_s in [(1, 0, 0.001), (4, 3, 0.03), (50, 3, 10.0)]
    ]
    return {
        "is_commit_due": [scheme.is_commit_due(progress) for progress in at_boundaries],
        "target": targets,
        "batch_size": [scheme.batch_size(worker) for worker in everybody],
        "decide": list(scheme.decide(view)),
        "next_time_s": scheme.next_time_s(view),
        "momentum": scheme.momentum(view),
        "implicit_momentum": scheme.implicit_momentum(view),
        "go": [scheme.go(worker, view) for worker in everybody],
        "release_key": scheme.release_key(view),
        "resync": sorted(scheme.resync(view)),
        "waiting_place": scheme.waiting_place(),
    }


def seen(view):
    """Return what schemes see, without the counts that a view keeps for itself."""
    return {field.name: getattr(view, field.name) for field in fields(view) if not field.name.startswith("_")}


def assert_questions_are_pure(scheme, view):
    # As text: nan is not equal to itself.
    before = repr((scheme.state(), seen(view)))
    first, second = answers(scheme, view), answers(scheme, view)
    assert repr(first) == repr(second)
    assert repr((scheme.state(), seen(view))) == before


def tell(driver, event, worker, amount):
    """Tell the scheme one event of a history."""
    scheme, view = driver.scheme, driver.view
    match event:
        case "commit" if worker in view.live and worker not in driver.waiting:
            view.hear(worker, 1 + amount, 0.1 / (1 + amount // 5), 0.001 * amount)
            driver.arrive(worker, steps=1 + amount)
            assert_questions_are_pure(scheme, view)  # while it is held
        case "leave" if len(view.live) > 1 and amount == 0:
            driver.leave(worker) if worker in view.live else None
        case "measure":
            view.step_times_s[worker], view.sample_times_s[worker] = 0.001 * (1 + amount), 0.0001 * (1 + amount)
        case "tick":
            driver.tick(view.now_s + PERIOD_S / 6)
        case "loss":
            driver.tick(view.now_s + PERIOD_S / 6)
            list(scheme.on_loss(loss_at(view.now_s, 2.0 / (1 + amount + view.now_s), steps=sum(view.commits)), view))
    driver.proceed()


histories = st.lists(
    st.tuples(
        st.sampled_from(["commit", "commit", "commit", "tick", "loss", "measure", "leave"]),
        st.integers(0, N_WORKERS - 1),
        st.integers(0, 9),
    ),
    min_size=5,
    max_size=60,
)


@pytest.mark.parametrize("name", SCHEMES)
@settings(max_examples=25)
@given(histories)
def test_questions_change_nothing_and_have_one_answer(name, history):
    driver = RoundsDriver(new_scheme(name), N_WORKERS)
    assert_questions_are_pure(driver.scheme, driver.view)
    for event in history:
        tell(driver, *event)
        assert_questions_are_pure(driver.scheme, driver.view)
