"""Traces whose row number n holds n in every column."""

import h5py
import numpy as np

from adsp_mpi.store.schema import ATTRIBUTES, TABLES
from adsp_mpi.store.trace import Trace

ATTRIBUTE_VALUES = {
    **{name: kind(7) for name, (kind, _) in ATTRIBUTES.items()},
    "configuration": "[sync]\nscheme = 'adsp'\n" + "# long\n" * 20_000,  # past the 64 kB of a plain HDF5 attribute
}


def row(table, number=0):
    """Return the values of a row, in the order of the columns."""
    return tuple(f"{number}" if c.dtype == "str" else np.dtype(c.dtype).type(number) for c in TABLES[table].columns)


def add_rows(trace, numbers):
    for number in numbers:
        for table in TABLES:
            trace.adder(table)(row(table, number))


def trace_with(n_rows):
    trace = Trace(ATTRIBUTE_VALUES)
    add_rows(trace, range(n_rows))
    return trace


def file_content(path):
    """Return all that can be told of a file without looking at its bytes."""
    content = {}

    def note(name, item):
        content[name] = [list(item.attrs.items())]
        if isinstance(item, h5py.Dataset):
            data = item[:].tolist() if item.dtype == object else item[:].tobytes()
            content[name] += [data, item.dtype, item.shape, item.maxshape, item.chunks]
        else:
            content[name] += [list(item)]  # in the order of creation

    with h5py.File(path) as file:
        note("/", file)
        file.visititems(note)
    return content


def assert_rows_are_numbered(trace):
    """Assert that each row holds its number; return how many each table has."""
    n_rows = {}
    for table in TABLES:
        for column in TABLES[table].columns:
            values = trace.arrays(table)[column.name]
            n_rows[table] = len(values)
            numbers = np.arange(len(values))
            expected = numbers != 0 if column.dtype == "bool" else numbers
            assert np.array_equal(values.astype(float), expected), (table, column.name)
    return n_rows
