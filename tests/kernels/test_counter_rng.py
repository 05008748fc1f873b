"""Counter-based random numbers: known answers, independence of the calls, moments."""

import numpy as np
import pytest

from adsp_kernels import counter_rng


@pytest.mark.parametrize(
    ("key", "outputs"),
    [
        # the first outputs of SplitMix64, as printed by the public-domain C program at prng.di.unimi.it/splitmix64.c
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]),
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]),
    ],
)
def test_splitmix64_known_answers(key: int, outputs: list[int]) -> None:
    assert [counter_rng.splitmix64(np.uint64(key), np.uint64(k)) for k in range(4)] == outputs


def _samples(seed: int, worker: int, step: int, n: int, size: int) -> np.ndarray:
    out = np.empty(size, np.int64)
    counter_rng.sample_indices(seed, worker, step, n, out)
    return out


def test_samples_are_a_pure_function_of_seed_worker_and_step() -> None:
    first = _samples(1, 2, 3, 1000, 64)
    np.testing.assert_array_equal(first, _samples(1, 2, 3, 1000, 64))
    # a larger batch starts with the smaller one
    np.testing.assert_array_equal(first, _samples(1, 2, 3, 1000, 100)[:64])
    for other in [(0, 2, 3), (1, 1, 3), (1, 2, 4), (3, 2, 1), (1, 3, 2), (-1, 2, 3)]:
        assert (first != _samples(*other, 1000, 64)).mean() > 0.9


@pytest.mark.parametrize("n", [1, 2, 10, 1437])
def test_samples_are_uniform(n: int) -> None:
    counts = np.bincount(np.concatenate([_samples(5, w, s, n, 32) for w in range(20) for s in range(200)]), minlength=n)
    assert len(counts) == n
    expected = 128_000 / n
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi_squared - (n - 1)) <= 5 * np.sqrt(2 * n)


def test_uniform_and_normal_moments() -> None:
    keys = [(9, w, s, k) for w in range(5) for s in range(1000) for k in range(4)]
    u = np.array([counter_rng.uniform(*key) for key in keys])
    z = np.array([counter_rng.standard_normal(*key) for key in keys])
    assert (u >= 0).all()
    assert (u < 1).all()
    margin = 5 / np.sqrt(len(keys))
    assert abs(u.mean() - 1 / 2) < margin * np.sqrt(1 / 12)
    assert abs(u.var() - 1 / 12) < margin * np.sqrt(1 / 180)
    assert abs(z.mean()) < margin
    assert abs(z.var() - 1) < margin * np.sqrt(2)
    assert abs((z**4).mean() - 3) < margin * np.sqrt(96)
    # neighbours in each coordinate are uncorrelated, and so are the two kinds of number
    assert abs(np.corrcoef(z[1:], z[:-1])[0, 1]) < margin
    assert abs(np.corrcoef(z[4:], z[:-4])[0, 1]) < margin
    assert abs(np.corrcoef(u, z)[0, 1]) < margin


@pytest.mark.parametrize("name", ["uniform", "standard_normal"])
def test_compiled_and_plain_agree(name: str) -> None:
    draw = getattr(counter_rng, name)
    with np.errstate(over="ignore"):
        assert getattr(draw, "py_func", draw)(1, 2, 3, 4) == pytest.approx(draw(1, 2, 3, 4), rel=1e-15)
