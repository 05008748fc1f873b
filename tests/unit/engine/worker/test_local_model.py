"""A worker's own parameters: what pulls make of them, and which memory a commit in flight keeps."""

import math

import numpy as np
import pytest

from adsp_mpi.engine.worker.local_model import LocalModel, Work
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.store.state import decode, encode
from adsp_mpi.updates.local.sgd import Sgd
from adsp_mpi.updates.payload import CODECS, codec_class
from adsp_mpi.updates.payload.codec import PayloadOptions

N = 37


class Gradients:
    """Model and sampler in one: the gradient follows from w, the step and the batch size."""

    def batch(self, worker, step, batch_size):
        return (worker, step), batch_size

    def loss_and_grad(self, parameters, x, y, gradient):
        gradient[:] = 0.5 * parameters + np.random.default_rng([*x, y]).normal(size=N)
        return float(y)


def local_model(codec="dense", in_flight=0, dtype=np.float32, rule=Sgd, **options):
    gradients = Gradients()
    work = Work(3, gradients, gradients, ModelOptions(name="softmax", dtype=np.dtype(dtype).name, **options))
    coder = codec_class(codec)(N, np.dtype(dtype), PayloadOptions(codec=codec))
    return LocalModel(work, np.zeros(N, dtype), rule(N, np.dtype(dtype)), coder, in_flight)


def vectors(n, seed=0, dtype=np.float32):
    return list(np.random.default_rng(seed).normal(size=(n, N)).astype(dtype))


def commit(local, n_steps=2):
    """Take the steps of a commit and hand it over; return its update and payload as they are then."""
    for _ in range(n_steps):
        local.step(8)
    local.close()
    made = local.update.copy(), local.payload_of(local.number).copy()
    local.hand_over()
    return made


# ---- steps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_sgd_at_the_rate_of_their_index(dtype):
    """η′ are powers of two, so that no product is rounded and numpy's steps are the same bit for bit."""
    rates = {"learning_rate": 0.5, "decay_factor": 0.5, "decay_steps": 2, "start_step": 3}
    local = local_model(dtype=dtype, **rates)
    (w,) = vectors(1, dtype=dtype)
    local.replace(w)
    u, gradient = np.zeros(N, dtype), np.empty(N, dtype)
    for step, batch_size in zip(range(3, 8), (8, 8, 4, 8, 16), strict=True):
        Gradients().loss_and_grad(w, (3, step), batch_size, gradient)
        eta = dtype(0.5 * 0.5 ** (step // 2))
        w, u = w - eta * gradient, u - eta * gradient
        assert local.step_index == step
        assert local.step(batch_size) == local.loss == batch_size
        assert local.parameters.tobytes() == w.tobytes()
        assert local.update.tobytes() == u.tobytes()


def test_a_step_that_is_not_applied_changes_nothing():
    local = local_model()
    local.replace(vectors(1)[0])
    local.step(8)
    before = local.state()
    local.compute(4)
    assert encode(local.state())[0] == encode(before)[0]
    assert local.parameters.tobytes() == before["parameters"].tobytes()
    assert local.update.tobytes() == before["updates"][0].tobytes()
    assert (local.loss, local.step_index) == (4.0, 1)


# ---- pulls ---------------------------------------------------------------------------------------------------------


def test_replace_gives_up_what_has_not_been_committed():
    local, (w,) = local_model(), vectors(1)
    local.replace(w)
    local.step(8)
    local.replace(w)
    assert local.parameters.tobytes() == w.tobytes()
    assert not np.shares_memory(local.parameters, w)
    local.step(8)
    # of one step: 1, not 0, is the index of its batch
    gradient = np.empty(N, np.float32)
    Gradients().loss_and_grad(w, (3, 1), 8, gradient)
    assert local.update.tobytes() == (-np.float32(0.5) * gradient).tobytes()


def test_replace_takes_what_was_pulled_into_w_itself():
    local, (w,) = local_model(), vectors(1)
    local.step(8)
    local.parameters[:] = w
    local.replace(local.parameters)
    assert local.parameters.tobytes() == w.tobytes()
    local.rebase(w)
    assert local.parameters.tobytes() == w.tobytes()  # the update is empty


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("in_flight", [0, 1, 2])
@pytest.mark.parametrize("n_steps", [0, 2])
def test_rebase_adds_updates_in_flight_and_then_its_own(in_flight, n_steps, dtype):
    """In this order, the oldest first: a replay sums in the same."""
    local = local_model(in_flight=2, dtype=dtype)
    start, pulled = vectors(2, dtype=dtype)
    local.replace(start)
    handed_over = [commit(local)[0] for _ in range(5)]
    for _ in range(n_steps):
        local.step(8)
    before = pulled.copy()
    local.rebase(pulled, in_flight)
    expected = pulled
    for update in [*handed_over[len(handed_over) - in_flight :], *([local.update] if n_steps else [])]:
        expected = expected + update
    assert local.parameters.tobytes() == expected.tobytes()
    assert pulled.tobytes() == before.tobytes()


def test_rebase_sums_in_the_order_of_the_commits():
    """In float32, 2²⁴ + 1 − 2²⁴ is 0 or 1."""
    for values, expected in (((2.0**24, 1.0, -(2.0**24)), 0.0), ((2.0**24, -(2.0**24), 1.0), 1.0)):
        local = local_model(in_flight=2)
        for value in values[:2]:
            local.step(8)
            local.update[:] = value
            local.hand_over()
        local.step(8)
        local.update[:] = values[2]
        local.rebase(np.zeros(N, np.float32), 2)
        assert (local.parameters == expected).all()


def test_the_next_steps_go_on_from_what_was_rebased():
    local, (start, pulled) = local_model(in_flight=1), vectors(2)
    local.replace(start)
    commit(local)
    local.step(8)
    local.rebase(pulled, 1)
    w, u, gradient = local.parameters.copy(), local.update.copy(), np.empty(N, np.float32)
    Gradients().loss_and_grad(w, (3, 3), 8, gradient)
    local.step(8)
    assert local.parameters.tobytes() == (w - np.float32(0.5) * gradient).tobytes()
    assert local.update.tobytes() == (u - np.float32(0.5) * gradient).tobytes()


@pytest.mark.parametrize("in_flight", [0, 1, 3])
def test_commits_in_flight_pull_into_memory_of_their_own(in_flight):
    local = local_model(in_flight=in_flight)
    memory = [local.beside(number) for number in range(1, in_flight + 2)]
    for i, one in enumerate(memory):
        assert not np.shares_memory(one, local.parameters)
        assert not any(np.shares_memory(one, other) for other in memory[:i])
        assert local.beside(i + 1) is one
        assert local.beside(i + 1 + len(memory)) is one


class Noting(Sgd):
    """SGD that keeps what it has been told."""

    def __init__(self, *shape):
        super().__init__(*shape)
        self.told = []

    def begin(self, pulled):
        self.told.append(("begin", pulled.copy()))

    def close(self, parameters, update, pulled):
        self.told.append(("close", pulled))
        update *= 2

    def state(self):
        return {"n_told": len(self.told)}

    def restore(self, state):
        self.told = [None] * state["n_told"]


def test_the_rule_is_told_of_pulls_and_may_change_what_is_committed():
    local, (start, pulled) = local_model(rule=Noting), vectors(2)
    local.replace(start)
    local.step(8)
    local.rebase(pulled)
    rule, before = local._rule, local.update.copy()
    local.close()
    local.close(pulled)
    assert [what for what, _ in rule.told] == ["begin", "begin", "close", "close"]
    assert rule.told[0][1].tobytes() == start.tobytes()
    assert rule.told[1][1].tobytes() == pulled.tobytes()  # W, not W + U
    assert rule.told[2][1] is None
    assert rule.told[3][1] is pulled
    assert local.payload_of(1).tobytes() == (4 * before).tobytes()


# ---- commits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", CODECS)
def test_a_payload_is_the_update_as_the_codec_makes_it(codec):
    local = local_model(codec)
    update, payload = commit(local)
    expected = update if codec == "dense" else update.astype(np.float16)
    assert payload.dtype == expected.dtype
    assert payload.tobytes() == expected.tobytes()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_payloads_in_flight_stay_as_encoded_while_the_next_commits_are_made(codec, in_flight):
    local = local_model(codec, in_flight)
    local.replace(vectors(1)[0])
    handed_over = {}
    for number in range(1, 10):
        handed_over[number] = commit(local)[1]
        local.step(8)  # of the next
        local.close()
        for earlier in range(max(1, number - in_flight + 1), number + 1):
            assert local.payload_of(earlier).tobytes() == handed_over[earlier].tobytes()


@pytest.mark.parametrize("in_flight", [0, 2])
def test_hand_over_begins_an_empty_update_in_the_buffer_freed_longest_ago(in_flight):
    local = local_model(in_flight=in_flight)
    buffers = []
    for number in range(1, 8):
        assert local.number == number
        buffers.append(local.update)
        local.step(8)
        local.parameters[:] = 0
        local.hand_over()
        w = local.parameters.copy()
        local.rebase(w)
        assert local.parameters.tobytes() == w.tobytes()  # nothing to add
    n = in_flight + 1
    assert all(buffers[i] is buffers[i % n] for i in range(7))
    assert len({id(buffer) for buffer in buffers}) == n


# ---- checkpoints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("in_flight", [0, 2])
@pytest.mark.parametrize("n_steps", [0, 1, 3])
def test_a_restored_model_goes_on_as_if_nothing_had_happened(codec, in_flight, n_steps):
    local, (start, pulled) = local_model(codec, in_flight), vectors(2)
    local.replace(start)
    for _ in range(4):
        commit(local)
    local.beside(4)[:] = pulled
    for _ in range(n_steps):
        local.step(8)
    restored = local_model(codec, in_flight)
    restored.restore(decode(*encode(local.state())))
    for number in range(local.number - max(in_flight, 1), local.number):
        assert restored.payload_of(number).tobytes() == local.payload_of(number).tobytes()
    for one in (local, restored):
        one.rebase(one.beside(4), in_flight)
        one.step(8)
    assert (restored.number, restored.step_index) == (local.number, local.step_index) == (5, 9 + n_steps)
    for _ in range(3):
        for one, other in zip(commit(local), commit(restored), strict=True):
            assert one.tobytes() == other.tobytes()
    assert restored.parameters.tobytes() == local.parameters.tobytes()


def test_a_state_is_its_own():
    local = local_model("float16", 1, rule=Noting)
    local.beside(1)
    local.replace(vectors(1)[0])
    commit(local)
    local.step(8)
    saved = local.state()
    text, arrays = encode(saved)
    before = [array.copy() for array in arrays]
    commit(local)
    local.replace(vectors(2)[1])
    local.beside(1)[:] = 3
    assert all(array.tobytes() == kept.tobytes() for array, kept in zip(arrays, before, strict=True))
    restored = local_model("float16", 1, rule=Noting)
    restored.restore(decode(text, arrays))
    assert restored.state()["rule"] == saved["rule"]
    for array in arrays:
        array[:] = math.nan
    kept_text, kept = encode(restored.state())
    assert kept_text == text
    assert [array.tobytes() for array in kept] == [array.tobytes() for array in before]
