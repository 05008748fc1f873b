"""What a file of an experiment says."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, MinLen

from adsp_mpi.analysis.sweeps import TIME, Panel
from adsp_mpi.config.load import SECTIONS, Tables, read_options, unknown
from adsp_mpi.errors import ConfigError, must

Sweep = dict[str, Annotated[tuple[Any, ...], MinLen(1)]]
Section = dict[str, Any]
ENDING = ".toml"


@dataclass(frozen=True, kw_only=True)
class Sections:
    """Sections of a configuration that replace what stands in the file's own ones, key by key."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    run: Section = field(default_factory=dict)
    data: Section = field(default_factory=dict)
    model: Section = field(default_factory=dict)
    sync: Section = field(default_factory=dict)
    devices: Section = field(default_factory=dict)
    stop: Section = field(default_factory=dict)

    def tables(self) -> Tables:
        """Return them by name."""
        return {name: dict(getattr(self, name)) for name in SECTIONS if hasattr(self, name)}


@dataclass(frozen=True, kw_only=True)
class Workload(Sections):
    """A model and its data: ``[[experiment.workload]]``. The first one whose files are there is run."""

    # one line for the reader
    name: str
    # in the folder of data, all of them needed
    files: tuple[str, ...] = ()
    # what is different while a value is tuned, such as a nearer target, or a smaller model
    tuning: Sections = field(default_factory=Sections)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """One value is chosen from a grid, the same for every point: ``[experiment.tuning]``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    key: str = "model.learning_rate"
    # by the time to the target, then by the final loss; none: nothing is tuned
    grid: tuple[Any, ...] = ()
    # chosen anew for each value of these
    per: tuple[str, ...] = ("sync.scheme",)
    # where other axes stand meanwhile, unless at their first value
    at: dict[str, Any] = field(default_factory=dict)
    # other ones than those of the experiment
    seeds: tuple[Annotated[int, Ge(0)], ...] = (1000,)


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The authors' numbers for a point: ``[[experiment.paper]]``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    at: dict[str, Any]
    # by key of the summary
    numbers: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Quick(Sections):
    """What is different with ``--quick``: ``[experiment.quick]``."""

    # names of workloads, the first one whose files are there; by default of all
    workloads: tuple[str, ...] = ()
    seeds: tuple[Annotated[int, Ge(0)], ...] = ()
    grid: tuple[Any, ...] | None = None
    sweep: tuple[Sweep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Table ``[experiment]``; all other tables of the file are sections of a configuration."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    title: str
    # what is to be checked
    claim: str
    # what a reader should know of how it is run
    note: str = ""
    seeds: Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)] = (1, 2, 3, 4, 5)
    # each one: values by name, such as "sync.scheme" = ["adsp", "bsp"]; every combination is a point
    sweep: Annotated[tuple[Sweep, ...], MinLen(1)]
    tuning: Tuning = field(default_factory=Tuning)
    workload: tuple[Workload, ...] = ()
    quick: Quick = field(default_factory=Quick)
    # keys of the summary
    columns: tuple[str, ...] = (TIME, "steps", "share.compute", "share.blocked")
    # times are given as multiples of this scheme's
    reference: str = "adsp"
    panel: tuple[Panel, ...] = (Panel(kind="curves", y="loss"), Panel(kind="bars"))
    paper: tuple[Paper, ...] = ()


@dataclass(frozen=True)
class Study:
    """An experiment as it is run here: one workload, quick or not."""

    name: str
    experiment: Experiment
    tables: Tables
    workload: str
    tuning: Tables = field(default_factory=dict)  # on top of `tables` while a value is tuned


def names() -> list[str]:
    """Return the names of the experiments that come with the package."""
    return sorted(path.name.removesuffix(ENDING) for path in _folder().iterdir() if path.name.endswith(ENDING))


def read_experiment(name: str) -> tuple[Experiment, Tables]:
    """Return an experiment and its file's sections of a configuration.

    Parameters
    ----------
    name : one of `names`, or the path of a file, which ends in .toml

    Raises
    ------
    ConfigError
        for the first thing that is wrong
    """
    if name not in names() and not name.endswith(ENDING):
        raise must("NAME", f"a file that ends in {ENDING} or one of {', '.join(names())}", name)
    source = Path(name) if name.endswith(ENDING) else _folder() / f"{name}{ENDING}"
    try:
        tables = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise must("NAME", "a readable TOML file", name) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"NAME must be valid TOML, got {name!r}: {exc}") from exc
    options = tables.pop("experiment", None)
    if not isinstance(options, Mapping):
        raise must("experiment", "a table [experiment]", options)
    for section, table in tables.items():
        if section not in SECTIONS:
            raise unknown("section", (section,), ("experiment", *SECTIONS))
        if not isinstance(table, Mapping):
            raise must(section, f"a table [{section}]", table)
    experiment: Experiment = read_options("experiment", Experiment, options)
    return experiment, tables


def study(name: str, data_dir: Path | None = None, *, is_quick: bool = False) -> Study:
    """Return what is to be run: the workload chosen, the quick variant merged in.

    Raises
    ------
    ConfigError
        if the file is wrong, or none of its workloads can be run
    """
    experiment, tables = read_experiment(name)
    workload = _workload(experiment, data_dir, is_quick)
    merged = merge(tables, workload.tables())
    if is_quick:
        quick = experiment.quick
        merged = merge(merged, quick.tables())
        grid = experiment.tuning.grid if quick.grid is None else quick.grid
        experiment = replace(
            experiment,
            seeds=quick.seeds or experiment.seeds,
            sweep=quick.sweep or experiment.sweep,
            tuning=replace(experiment.tuning, grid=grid),
        )
    if data_dir is not None and workload.files:
        merged = merge(merged, {"data": {"dir": str(data_dir.resolve())}})
    tuning = {section: table for section, table in workload.tuning.tables().items() if table}
    return Study(Path(name).stem, experiment, merged, workload.name, tuning)


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Tables:
    """Return tables by section; later layers win, key by key."""
    merged: Tables = {}
    for layer in layers:
        for section, table in layer.items():
            merged.setdefault(section, {}).update(table)
    return merged


def _workload(experiment: Experiment, data_dir: Path | None, is_quick: bool) -> Workload:
    known = {workload.name: workload for workload in experiment.workload}
    if not known:
        return Workload(name="as configured")
    wanted = (experiment.quick.workloads if is_quick else ()) or tuple(known)
    folder = data_dir or Path("data")
    for name in wanted:
        if name not in known:
            raise must("experiment.quick.workloads", f"names of workloads: {', '.join(known)}", name)
        if all((folder / file).exists() for file in known[name].files):
            return known[name]
    needed = " or ".join(", ".join(known[name].files) for name in wanted)
    raise must("--data-dir", f"a folder with {needed}", str(folder))


def _folder() -> Any:
    return files("adsp_mpi.experiments") / "files"
