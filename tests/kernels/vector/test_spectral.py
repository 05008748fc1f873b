"""Transforms against numpy's, and the convolution in the frequency domain against the plain one."""

from typing import Any

import numba
import numpy as np
import pytest

from adsp_kernels.jit import kernel
from adsp_kernels.plain import conv
from adsp_kernels.vector import fourier, spectral

config: Any = numba.config  # its variables are made at run time
pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="vector code is machine code")

SIDES = pytest.mark.parametrize("side", spectral.SIDES)
# whole tiles of the matrix products, rows left over, and rows left over only
IMAGES = pytest.mark.parametrize("images", [3, 4, 9])

_forward, _inverse = fourier.transform(14, range(12))
_forward_odd, _inverse_odd = fourier.transform(18, [16, 17, 0, 1, 2])


@kernel
def _round_trip(x: Any, spectrum: Any, back: Any, scratch: Any) -> None:
    row = x.shape[1] * 16
    if x.shape[0] == 12:
        _forward(x, 0, row, 16, spectrum, 0, 128, scratch)
        _inverse(spectrum, 0, 128, back, 0, row, 16, scratch)
    else:
        _forward_odd(x, 0, row, 16, spectrum, 0, 128, scratch)
        _inverse_odd(spectrum, 0, 128, back, 0, row, 16, scratch)


@pytest.mark.parametrize(("n", "places"), [(14, list(range(12))), (18, [16, 17, 0, 1, 2])])
def test_transform_against_numpy(rng: np.random.Generator, n: int, places: list[int]) -> None:
    x = rng.normal(size=(len(places), len(places), 16)).astype(np.float32)
    spectrum = np.full((fourier.frequencies(n), 128), np.nan, np.float32)
    back, scratch = np.full_like(x, np.nan), np.full(fourier.scratch_size(n), np.nan, np.float32)
    _round_trip(x, spectrum, back, scratch)
    whole = np.zeros((n, n, 16))
    whole[np.ix_(places, places)] = x
    columns = np.fft.fft2(whole, axes=(0, 1)).swapaxes(0, 1)
    half = n // 2
    kept = [columns[0, : half + 1], columns[half, : half + 1], *columns[1:half]]
    np.testing.assert_allclose(spectrum[:, :16] + 1j * spectrum[:, 64:80], np.concatenate(kept), atol=2e-5)
    np.testing.assert_allclose(back, x, atol=2e-6)


@kernel
def _to_spectrum(maps: Any, side: int, spectrum: Any, scratch: Any) -> None:
    for n in range(maps.shape[0]):
        spectral.map_to_spectrum(side, maps[n], spectrum, n, maps.shape[0], scratch)


@kernel
def _to_maps(spectrum: Any, side: int, maps: Any, scratch: Any) -> None:
    for n in range(maps.shape[0]):
        spectral.spectrum_to_map(side, spectrum, n, maps.shape[0], maps[n], scratch)


class _Spectra:
    """A convolution's arrays and their spectra."""

    def __init__(self, rng: np.random.Generator, side: int, images: int) -> None:
        self.side, self.images, self.n = side, images, spectral.FREQUENCIES[side]
        self.scratch = np.full(spectral.SCRATCH, np.nan, np.float32)
        self.x, self.dy = rng.normal(size=(2, images, side, side, 64)).astype(np.float32)
        self.w = rng.normal(size=(5, 5, 64, 64)).astype(np.float32)

    def empty(self, rows: int) -> Any:
        return np.full(self.n * (rows * spectral.ROW + 16), np.nan, np.float32)

    def of_maps(self, maps: Any) -> Any:
        spectrum = self.empty(self.images)
        _to_spectrum(maps, self.side, spectrum, self.scratch)
        return spectrum

    def of_weights(self, w: Any) -> Any:
        spectrum = self.empty(64)
        spectral.weights_to_spectrum(self.side, np.ascontiguousarray(w), spectrum, self.scratch)
        return spectrum

    def maps(self, spectrum: Any) -> Any:
        maps = np.full_like(self.x, np.nan)
        _to_maps(spectrum, self.side, maps, self.scratch)
        return maps

    def patches(self) -> Any:
        return np.empty((self.side**2, 25 * 64))


def _assert_close(found: Any, expected: Any) -> None:
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)


@SIDES
@IMAGES
def test_outputs(rng: np.random.Generator, side: int, images: int) -> None:
    s = _Spectra(rng, side, images)
    y = s.empty(images)
    spectral.outputs(s.of_maps(s.x), s.of_weights(s.w), y, images, s.n)
    expected = np.empty(s.x.shape)
    conv.forward(s.x.astype(float), s.w.astype(float), np.zeros(64), expected, s.patches())
    _assert_close(s.maps(y), expected)


@SIDES
@IMAGES
def test_input_gradients(rng: np.random.Generator, side: int, images: int) -> None:
    s = _Spectra(rng, side, images)
    dx, turned = s.empty(images), np.full_like(s.w, np.nan)
    spectral.turned(s.w, turned)
    spectral.outputs(s.of_maps(s.dy), s.of_weights(turned), dx, images, s.n)
    expected = np.empty(s.x.shape)
    conv.backward_input(s.dy.astype(float), s.w.astype(float), expected, s.patches())
    _assert_close(s.maps(dx), expected)


@SIDES
@IMAGES
def test_weight_gradients(rng: np.random.Generator, side: int, images: int) -> None:
    s = _Spectra(rng, side, images)
    dw, found = s.empty(64), np.full_like(s.w, np.nan)
    spectral.weight_gradients(s.of_maps(s.x), s.of_maps(s.dy), dw, images, s.n)
    spectral.spectrum_to_weights(side, dw, found, s.scratch)
    expected, db, dw_image = np.empty(s.w.shape), np.empty(64), np.empty(s.w.shape)
    conv.backward_parameters(s.x.astype(float), s.dy.astype(float), expected, db, s.patches(), dw_image)
    _assert_close(found, expected)
