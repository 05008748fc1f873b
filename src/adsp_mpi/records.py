"""Rows of a trace as classes: each field names its column. The ground that schemes, engine and store share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

Row = TypeVar("Row", bound=tuple[Any, ...])

_DTYPES: dict[type, str] = {int: "int64", float: "float64", bool: "bool", str: "str"}


class About(NamedTuple):
    """What a field of a row is: its annotation, beside the type."""

    description: str
    unit: str = ""  # empty for counts, names and ratios
    dtype: str = ""  # where the type alone does not say it


class Column(NamedTuple):
    """One column of a table: a dataset of the trace file."""

    name: str
    dtype: str  # a numpy dtype, or "str" for text of any length
    unit: str
    description: str


class Table:
    """A named table whose rows are made of one or more row classes, side by side.

    Parameters
    ----------
    name : of the table
    rows : dataclasses or named tuples whose fields have an `About`; fields without one are no columns
    """

    def __init__(self, name: str, *rows: type) -> None:
        self.name = name
        self.columns = tuple(column for row in rows for column in columns_of(row))
        getter = attrgetter(*(column.name for column in self.columns))
        # of an object of a single row class; the getter of a single attribute returns no tuple
        self.values: Callable[[object], tuple[Any, ...]] = (
            getter if len(self.columns) > 1 else lambda row: (getter(row),)
        )


def maker(cls: type[Row]) -> Callable[[tuple[Any, ...]], Row]:
    """Return what makes a named tuple of the tuple of all its fields, in a third of the time that its class takes."""
    return partial(tuple.__new__, cls)


def columns_of(row: type) -> tuple[Column, ...]:
    """Return the columns that the fields of a row class describe, in their order."""
    hints = get_type_hints(row, include_extras=True)
    return tuple(_column(name, hint) for name, hint in hints.items() if _about(hint) is not None)


def _column(name: str, hint: Any) -> Column:
    about = _about(hint)
    assert about is not None
    return Column(name, about.dtype or _DTYPES[get_args(hint)[0]], about.unit, about.description)


def _about(hint: Any) -> About | None:
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, About)), None)


@dataclass(frozen=True)
class LossSample:
    """The global loss of one version, sampled at `time_s`."""

    time_s: Annotated[float, About("time of the parameters that were evaluated", "s")]
    version: Annotated[int, About("their version")]
    steps: Annotated[int, About("steps of all workers until then")]
    commits: Annotated[int, About("commits merged or absorbed until then")]
    loss: Annotated[float, About("global loss: mean over the validation split")]
    accuracy: Annotated[float, About("share of the validation split classified correctly")]
