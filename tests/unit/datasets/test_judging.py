"""Samples that are made chunk by chunk are judged as if they were there at once."""

from pathlib import Path

import numpy as np
import pytest
from data_files import write_cifar10, write_rail

from adsp_mpi.config.load import build_config
from adsp_mpi.engine.testbed import assemble


@pytest.mark.parametrize("name", ["cifar10", "rail"])
def test_chunks_make_no_difference(tmp_path: Path, name: str) -> None:
    write_cifar10(tmp_path, n=600)
    write_rail(tmp_path / "rail_stress.txt")
    model = {"name": "softmax", "dtype": "float64"}
    testbed = assemble(build_config({"data": {"name": name, "dir": str(tmp_path), "window": 20}, "model": model}), 2)
    w = np.random.default_rng(1).normal(scale=0.1, size=testbed.model.layout.size)
    chunks = [(x.copy(), y.copy()) for x, y in testbed.dataset.test.chunks()]
    assert len(chunks) > 1
    x, y = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    assert testbed.test(w) == pytest.approx(testbed.model.evaluate(w, x, y), rel=1e-12)
