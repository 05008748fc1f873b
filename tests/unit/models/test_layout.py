import numpy as np

from adsp_mpi.models.layout import Layout


def test_parts_follow_each_other() -> None:
    layout = Layout([("w", (2, 3)), ("b", (3,)), ("scale", ())], np.float32)
    assert layout.size == 10
    assert layout.entries() == [("w", 0, (2, 3)), ("b", 6, (3,)), ("scale", 9, ())]


def test_views_are_on_the_vector() -> None:
    layout = Layout([("w", (2, 3)), ("b", (3,))], np.float64)
    flat = np.arange(9.0)
    views = layout.views(flat)
    views["w"][1, 2] = -1
    views["b"][:] = 7
    np.testing.assert_array_equal(flat, [0, 1, 2, 3, 4, -1, 7, 7, 7])
    assert all(view.flags.c_contiguous for view in views.values())
