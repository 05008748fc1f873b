"""Tables of parameters against numbers computed by hand."""

import math

import numpy as np
import pytest

from adsp_mpi.analysis.checkpoints import checkpoint_tables
from adsp_mpi.analysis.local_models import Departure, departures_table, local_models_table
from adsp_mpi.errors import ConfigError
from adsp_mpi.formulas.vectors import cosine, norm, relative_distance
from adsp_mpi.store.checkpoint import Checkpoint, LayoutEntry

LAYOUT = (LayoutEntry("w", 0, (1, 2)), LayoutEntry("b", 2, (2,)))


def checkpoint(version, *values, layout=LAYOUT):
    return Checkpoint(np.array(values, np.float32), layout, version, {})


def test_norms_and_distances():
    early, late = checkpoint(4, 3, 4, 0, 0), checkpoint(8, 3, 4, 0, 12)
    overview, layers, distances = checkpoint_tables({"early": early, "late": late}, {"late": {"loss": 0.5}})
    assert overview.rows == [("early", 4, 4, 5.0, None), ("late", 8, 4, 13.0, 0.5)]
    assert layers.headers == ["layer", "shape", "early", "late"]
    assert layers.rows == [("w", "1×2", 5.0, 5.0), ("b", "2", 0.0, 12.0)]
    assert distances.rows == [["early", "late", pytest.approx(12 / 5), pytest.approx(25 / (5 * 13))]]


def test_one_checkpoint_has_no_distance():
    assert checkpoint_tables({"only": checkpoint(1, 1, 2, 3, 4)}, {})[2].rows == []


@pytest.mark.parametrize("layout", [(LayoutEntry("w", 0, (4,)),), (LayoutEntry("w", 0, (2,)), LAYOUT[1])])
def test_checkpoints_of_different_models_are_refused(layout):
    with pytest.raises(ConfigError, match="checkpoints must be of the same model as a, got 'b'"):
        checkpoint_tables({"a": checkpoint(1, 1, 2, 3, 4), "b": checkpoint(1, 1, 2, 3, 4, layout=layout)}, {})


def test_large_vectors_are_summed_in_double_precision():
    ones = np.ones(1 << 25, np.float32)  # in float32 a running sum of ones ends at 2**24
    assert norm(ones) == math.sqrt(1 << 25)
    assert norm(np.full(4, 3e30, np.float32)) == pytest.approx(6e30)  # whose square float32 cannot hold


def test_nothing_has_no_direction():
    zero, one = np.zeros(2, np.float32), np.ones(2, np.float32)
    assert math.isnan(cosine(zero, one))
    assert math.isnan(relative_distance(one, zero))
    assert relative_distance(zero, one) == 1
    assert cosine(one, -one) == pytest.approx(-1)


def test_local_models():
    departures = [Departure(1, 1, 0, 0.2, 0.2), Departure(0, 1, 1, 0.1, 0.3), Departure(1, 2, 2, 0.4, 0.6)]
    table = local_models_table(departures, {0: (1.5, 0.5), 1: (1.2, 0.6)}, (1.0, 0.7))
    assert [row[:2] for row in table.rows] == [("worker 0", 1), ("worker 1", 2), ("global", None)]
    assert [pytest.approx(row[2:6]) for row in table.rows[:2]] == [(0.1, 0.1, 0.3, 0.3), (0.3, 0.4, 0.4, 0.6)]
    assert [row[6:] for row in table.rows] == [(1.5, 0.5), (1.2, 0.6), (1.0, 0.7)]
    unknown = [*departures, Departure(0, 2, 3, math.nan, math.nan)]
    assert local_models_table(unknown, {0: (1.5, 0.5)}, (1.0, 0.7)).rows[0][2] == pytest.approx(0.1)
    assert departures_table(departures).rows[2] == (1, 2, 2, 0.4, 0.6)
