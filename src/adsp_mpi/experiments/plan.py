"""From a study to the configurations of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

from adsp_mpi.analysis.sweeps import SCHEME
from adsp_mpi.config.load import Tables, build_config, unknown
from adsp_mpi.config.sections import Config
from adsp_mpi.errors import must
from adsp_mpi.experiments.description import Study, merge
from adsp_mpi.sync import scheme_class

Point = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A point of a sweep."""

    sweep: int
    point: Point

    @property
    def name(self) -> str:
        """A name that no other case has."""
        return repr((self.sweep, sorted(self.point.items(), key=lambda item: item[0])))


def cases(study: Study) -> list[Case]:
    """Return all points, those of the first sweep first."""
    return [Case(number, point) for number, axes in enumerate(study.experiment.sweep) for point in _points(axes)]


def tuning_case(study: Study, case: Case) -> Case:
    """Return the point at which a case is tuned: its own on the axes ``tuning.per``, one for all on the others.

    Raises
    ------
    ConfigError
        if the experiment has no such point
    """
    axes = study.experiment.sweep[case.sweep]
    tuning = study.experiment.tuning
    place = {name: case.point[name] if name in tuning.per else tuning.at.get(name, axes[name][0]) for name in axes}
    for name, value in place.items():
        if value not in axes[name]:
            raise must(f'experiment.tuning.at."{name}"', f"one of {', '.join(map(str, axes[name]))}", value)
    return Case(case.sweep, place)


def configuration(study: Study, case: Case, tuned: Point, seed: int) -> Config:
    """Return the configuration of one run.

    Raises
    ------
    ConfigError
        for the first thing that is wrong, a run without an end included
    """
    tables = merge(study.tables, _tables(case.point), _tables(tuned), {"run": {"seed": seed}})
    config = build_config(own_options(tables, _schemes(study, tables)))
    if config.stop.max_time_s is None:
        raise must("stop.max_time_s", "given in an experiment, or a run might never end", None)
    return config


def tuning_configuration(study: Study, case: Case, chosen: Point, seed: int) -> Config:
    """Return the configuration of a run that a value is tuned by: see `configuration`."""
    return configuration(replace(study, tables=merge(study.tables, study.tuning)), case, chosen, seed)


def own_options(tables: Tables, schemes: Sequence[str]) -> Tables:
    """Return tables whose section ``[sync]`` holds what the scheme knows of it.

    Parameters
    ----------
    schemes : all that the tables are meant for

    Raises
    ------
    ConfigError
        for an option that none of the schemes knows
    """
    options = tables.get("sync", {})
    known = {name: {field.name for field in fields(scheme_class(name).Options)} for name in schemes}
    keys = ["scheme", *sorted(set().union(*known.values()))]
    strangers = sorted(options.keys() - set(keys))
    if strangers:
        raise unknown("key", ("sync", strangers[0]), keys)
    scheme = options.get("scheme", Config.scheme)
    own = {key: options[key] for key in options if key in known[scheme]}
    return {**tables, "sync": {**own, "scheme": scheme}}


def _schemes(study: Study, tables: Tables) -> list[str]:
    swept = [name for axes in study.experiment.sweep for name in axes.get(SCHEME, ())]
    return list(dict.fromkeys([tables.get("sync", {}).get("scheme", Config.scheme), *swept]))


def _points(axes: Mapping[str, Sequence[Any]]) -> Iterator[Point]:
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _tables(point: Point) -> Tables:
    tables: Tables = {}
    for name, value in point.items():
        section, dot, key = name.partition(".")
        if not (section and dot and key):
            raise must("what is varied", "named as section.key", name)
        tables.setdefault(section, {})[key] = value
    return tables
