"""Many runs as one table: a row for each point of a sweep, median and spread over the seeds, and who was fastest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from adsp_mpi.analysis import metrics
from adsp_mpi.analysis.tables import Style, cell, table
from adsp_mpi.store.trace import TraceView

TIME = "time_to_target_s"
SCHEME = "sync.scheme"
HEADINGS = {
    TIME: "target s",
    "time_s": "time s",
    "share.compute": "compute",
    "share.communication": "comm",
    "share.blocked": "blocked",
    "mbit_s": "Mb/s",
    "commit_rate": "commits/period",
    "implicit_momentum": "μ_implicit",
}
CURVE = ("time_s", "steps", "loss", "accuracy")


@dataclass(frozen=True)
class RunRecord:
    """What a sweep keeps of one run: the summary's numbers, and the columns ``CURVE`` of its loss samples."""

    summary: Mapping[str, Any]
    curve: Mapping[str, Sequence[float]]

    @classmethod
    def of(cls, summary: Mapping[str, Any], trace: TraceView) -> RunRecord:
        """Return the record of a run; the measured mean commit rate is added to its summary."""
        loss = trace.arrays("loss")
        rate = float(np.mean(metrics.commit_rates(trace)))
        known = {**summary, "commit_rate": rate if math.isfinite(rate) else None}
        return cls(known, {name: loss[name].tolist() for name in CURVE})


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel of a sweep's figure."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # curves: every run over time or steps; bars: a quantity per point; split: the time of a worker, by what it did;
    # lines: a quantity over what was varied, a line per scheme; relative: bars over the reference scheme's, the
    # authors' beside ours
    kind: Literal["curves", "bars", "split", "lines", "relative"]
    # curves: time_s or steps; lines: the name of what was varied
    x: str = "time_s"
    # curves: loss, accuracy or steps; else a key of the summary
    y: str = TIME
    title: str = ""
    # number of the sweep it shows, from 0
    sweep: int = 0


@dataclass(frozen=True)
class Row:
    """A point of a sweep.

    Attributes
    ----------
    point : what was varied, by its name in the configuration
    runs : one per seed
    tuned : what was chosen for this point by tuning
    paper : the authors' numbers for it
    sweep : number of the sweep it belongs to
    """

    point: Mapping[str, Any]
    runs: Sequence[RunRecord]
    tuned: Mapping[str, Any] = field(default_factory=dict)
    paper: Mapping[str, float] = field(default_factory=dict)
    sweep: int = 0

    @property
    def label(self) -> str:
        """The point in words."""
        return ", ".join(map(str, self.point.values()))

    def spread(self, quantity: str) -> Spread:
        """Return median and range of a quantity of the summary over the seeds."""
        return Spread.of([run.summary.get(quantity) for run in self.runs])


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of some values; one that is missing counts as infinite (a target not reached)."""

    median: float
    low: float
    high: float
    n: int
    n_known: int

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread:
        """Return the spread of values."""
        known = sorted(math.inf if value is None or math.isnan(value) else float(value) for value in values)
        n_known = sum(map(math.isfinite, known))
        if not known:
            return cls(math.inf, math.inf, math.inf, 0, 0)
        middle = known[(len(known) - 1) // 2], known[len(known) // 2]
        return cls(sum(middle) / 2, known[0], known[-1], len(known), n_known)

    def __str__(self) -> str:
        if not math.isfinite(self.low):
            return "-"
        if self.n == 1 or self.low == self.high:
            return _whole(self.median)
        missing = f", {self.missing} runs" if self.missing else ""
        return f"{_whole(self.median)} [{_whole(self.low)}, {_whole(self.high)}{missing}]"

    @property
    def missing(self) -> str:
        """How many values there are of how many, ``2 of 3``; empty if all."""
        return "" if self.n_known == self.n else f"{self.n_known} of {self.n}"


def sweep_table(
    rows: Sequence[Row], quantities: Sequence[str], style: Style = "plain", reference: str | None = None
) -> str:
    """Return one row per point: what was varied and tuned, each quantity, the authors' numbers beside it.

    Parameters
    ----------
    quantities : keys of the summary
    reference : a scheme, by whose time to target the others' are divided
    """
    axes = _names(row.point for row in rows)
    tuned = _names(row.tuned for row in rows)
    papers = _names(row.paper for row in rows)
    columns: dict[str, list[Any]] = {_short(axis): [row.point.get(axis) for row in rows] for axis in axes}
    for quantity in quantities:
        columns |= _quantity_columns(rows, quantity, style)
        if quantity in papers:
            columns[f"paper: {_heading(quantity)}"] = [row.paper.get(quantity) for row in rows]
        if quantity == TIME and reference is not None:
            ours = [_ratio(row, rows, reference, lambda each: each.spread(TIME).median) for row in rows]
            if any(value is not None for value in ours):
                columns[f"× {reference}"] = ours
            if quantity in papers:
                theirs = [_ratio(row, rows, reference, lambda each: each.paper.get(TIME, math.nan)) for row in rows]
                columns[f"paper: × {reference}"] = theirs
    columns |= {f"tuned {_short(name)}": [row.tuned.get(name) for row in rows] for name in tuned}
    return table(list(columns), list(zip(*columns.values(), strict=True)), style)


def verdict(rows: Sequence[Row]) -> str:
    """Say which scheme reached the target first, by how much, and whether the spread over the seeds supports it.

    The rule: it does if, over at least two seeds, the slowest run of the fastest scheme was faster than the fastest run
    of the next one. One sentence for each point of the other axes.
    """
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        if SCHEME in row.point:
            place = ", ".join(f"{_short(axis)} {value}" for axis, value in row.point.items() if axis != SCHEME)
            groups.setdefault((row.sweep, place), []).append(row)
    rivals = {place: members for (_, place), members in groups.items() if len(members) > 1}
    return "\n".join(f"{place}: {_fastest(rows)}" if place else _fastest(rows) for place, rows in rivals.items())


def _fastest(rows: Sequence[Row]) -> str:
    order = sorted(rows, key=lambda row: row.spread(TIME).median)
    first = order[0].spread(TIME)
    name = order[0].point[SCHEME]
    if not math.isfinite(first.median):
        return "no scheme reached the target in half of its runs"
    second = order[1].spread(TIME)
    rival = order[1].point[SCHEME]
    if not math.isfinite(second.median):
        return f"{name} is the fastest to the target, {cell(first.median)} s; no other scheme reached it in time"
    ratio = second.median / first.median if first.median else math.inf
    text = (
        f"{name} is the fastest to the target, {cell(first.median)} s; "
        f"{rival} is next and needs {cell(ratio)} times as long"
    )
    if first.n < 2:
        return f"{text}; one seed says nothing about the spread"
    if first.high < second.low:
        return f"{text}; the {first.n} seeds support that: their ranges do not overlap"
    return f"{text}; the {first.n} seeds do not support that: their ranges overlap"


def _quantity_columns(rows: Sequence[Row], quantity: str, style: Style) -> dict[str, list[Any]]:
    spreads = [row.spread(quantity) for row in rows]
    heading = _heading(quantity)
    if style != "csv":
        return {heading: [str(each) if each.n > 1 else _finite(each.median) for each in spreads]}
    numbers = {"median": "median", "low": "min", "high": "max", "n_known": "runs"}
    return {f"{quantity} {word}": [_finite(getattr(each, name)) for each in spreads] for name, word in numbers.items()}


def _ratio(row: Row, rows: Sequence[Row], reference: str, value: Any) -> float | None:
    """Return a row's value over that of the reference scheme at the same point otherwise."""
    wanted = {**row.point, SCHEME: reference}
    base = next((each for each in rows if each.sweep == row.sweep and dict(each.point) == wanted), None)
    if base is None:
        return None
    return _finite(value(row) / value(base)) if value(base) else None


def _whole(value: float) -> str:
    """Return a number as it is read: without decimals if it has none, a dash if it is not known."""
    return cell(int(value) if value.is_integer() else value) if math.isfinite(value) else "-"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _heading(quantity: str) -> str:
    return HEADINGS.get(quantity, quantity)


def _short(name: str) -> str:
    """Return a configuration's name without its section."""
    return name.rpartition(".")[2]
