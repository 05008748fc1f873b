import math

import numpy as np
import pytest

from adsp_mpi.analysis.tables import cell, table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345678, "12345678"),
        (np.int64(3), "3"),
        (0.0, "0"),
        (0.98765, "0.9877"),
        (12.3456, "12.35"),
        (123456.7, "123457"),
        (12345678.0, "1.235e+07"),
        (0.00001234, "1.234e-05"),
        (-2.5, "-2.500"),
        (math.inf, "inf"),
        (math.nan, "-"),
        (None, "-"),
        (True, "yes"),
        (np.False_, "no"),
        ("adsp", "adsp"),
    ],
)
def test_cells(value, text):
    assert cell(value) == text


HEADERS = ["scheme", "steps", "loss"]
ROWS = [["adsp", 12709, 0.123456], ["bsp", 5420, None]]


def test_plain():
    assert table(HEADERS, ROWS) == (
        "scheme  steps    loss\n"  #
        "------  -----  ------\n"
        "adsp    12709  0.1235\n"
        "bsp      5420       -\n"
    )


def test_markdown():
    assert table(HEADERS, ROWS, "markdown") == (
        "| scheme | steps |   loss |\n"
        "| ------ | ----: | -----: |\n"
        "| adsp   | 12709 | 0.1235 |\n"
        "| bsp    |  5420 |      - |\n"
    )


def test_csv_keeps_all_digits():
    rows = [["a,b", 1, 0.1 + 0.2], ["c", 2, math.nan], ["d", 3, np.float64(0.5)]]
    assert table(HEADERS, rows, "csv") == 'scheme,steps,loss\n"a,b",1,0.30000000000000004\nc,2,\nd,3,0.5\n'


def test_no_rows_leave_the_header():
    assert table(["a", "bcd"], []) == " a  bcd\n--  ---\n"
