"""Carry out a study: tune, run, sum up, write."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from adsp_mpi.analysis.sweeps import TIME, Row, RunRecord, Spread, sweep_table, verdict
from adsp_mpi.config.sections import Config
from adsp_mpi.experiments import offline
from adsp_mpi.experiments.description import Study
from adsp_mpi.experiments.plan import Case, Point, cases, configuration, tuning_case, tuning_configuration
from adsp_mpi.experiments.pool import finished, n_cores
from adsp_mpi.experiments.probe import wall_per_device_s
from adsp_mpi.experiments.real import RealRuns, RealTime
from adsp_mpi.experiments.runs import Runs, Told

DRIVER = "driver"
Telling = Callable[[str], Told]  # from what a batch of runs is for, to who is told of its progress


@dataclass(frozen=True)
class Estimate:
    """What is still to do."""

    runs: int
    kept: int  # of an earlier time
    longest_s: float  # wall time, if no run reaches its target before its time is up


@dataclass(frozen=True)
class Report:
    """What a reproduction leaves.

    Attributes
    ----------
    markdown, csv : paths of the table
    figures : paths of the figure
    text : what the Markdown file says
    """

    markdown: Path
    csv: Path
    figures: tuple[Path, ...]
    text: str


@dataclass(frozen=True)
class _TuningRun:
    name: str  # of the case that is tuned
    chosen: Point
    configs: Sequence[Config]  # one per seed


class Reproduction:
    """A study with the folder that it is carried out in.

    Parameters
    ----------
    folder : table and figure go there, single runs into its folder ``runs``; a study that was interrupted, or is
        carried out again, takes what is there
    jobs : how many runs at once
    real : make the experiment's runs in real time, too; tuning and offline search stay in virtual time
    """

    def __init__(self, study: Study, folder: Path, jobs: int | None = None, real: RealTime | None = None) -> None:
        self._study = study
        self._folder = folder
        self._jobs = jobs or n_cores()
        self._cases = cases(study)
        trials = self._trials()  # all that is wrong, before any work
        self._runs = Runs(folder / "runs", self._jobs)
        self._real = RealRuns(folder / "real", real, trials) if real else None

    def estimate(self) -> Estimate:
        """Return what is to be done, from a short trial of each point."""
        seeds, trials = self._study.experiment.seeds, self._trials()
        prices = {self._cases[n].name: price for n, price in finished(wall_per_device_s, trials, self._jobs)}
        tuning = [(run.name, config) for run in self._tuning_runs() for config in run.configs]
        missing = [prices[name] * _length_s(config) for name, config in tuning if not self._runs.has(config)]
        tuned = None if missing else self._tune()
        real = []
        for case, trial in zip(self._cases, trials, strict=True):  # with which value nobody knows before the tuning
            configs = [self._config(case, tuned, seed) for seed in seeds] if tuned is not None else []
            n_missing = len(seeds) - sum(map(self._runs.has, configs))
            missing += [prices[case.name] * _length_s(trial)] * n_missing
            if self._real is not None:
                n_missing = len(seeds) - sum(self._real.has(self._real.scaled(config)) for config in configs)
                real += [_length_s(trial) / self._real.time_scale] * n_missing
        total = len(tuning) + len(self._cases) * len(seeds) * (1 if self._real is None else 2)
        n_missing = len(missing) + len(real)
        at_once = max(1, min(self._jobs, n_cores(), len(missing)))
        return Estimate(n_missing, total - n_missing, math.fsum(missing) / at_once + math.fsum(real))

    def carry_out(self, telling: Telling = lambda what: lambda done, total: None) -> Report:
        """Tune, run, and write the report."""
        tuned = self._tune(telling("tuning"))
        found = {
            case.name: offline.search(
                self._study, case, self._chosen(case, tuned), self._runs, telling("offline search")
            )
            for case in self._cases
            if offline.is_searched(case)
        }
        seeds = self._study.experiment.seeds
        # seed by seed: then what is left can be told from what is done
        order = [(case, seed) for seed in seeds for case in self._cases]
        configs = [self._config(case, tuned, seed, found.get(case.name)) for case, seed in order]
        records = {"virtual": self._runs.records(configs, telling("experiment"))}
        if self._real is not None:
            records["real"] = self._real.records(list(map(self._real.scaled, configs)), telling("real time"))
        rows = []
        for place, case in enumerate(self._cases):
            for driver, all_runs in records.items():
                own = all_runs[place :: len(self._cases)]
                point = case.point if self._real is None else {**case.point, DRIVER: driver}
                rows.append(Row(point, own, self._chosen(case, tuned), self._paper(case), case.sweep))
                if case.name in found:
                    rows.append(offline.with_search_time(rows[-1], found[case.name]))
        return self._write(rows, list(found.values()))

    # ---- tuning --------------------------------------------------------------------------------------------------

    def _tuning_runs(self) -> list[_TuningRun]:
        """Return the runs with each value of the grid, for each point that is tuned."""
        tuning = self._study.experiment.tuning
        places = {place.name: place for place in (tuning_case(self._study, case) for case in self._cases)}
        return [
            _TuningRun(name, chosen, [tuning_configuration(self._study, place, chosen, seed) for seed in tuning.seeds])
            for chosen in ({tuning.key: value} for value in tuning.grid)
            for name, place in places.items()
        ]

    def _tune(self, told: Told = lambda done, total: None) -> dict[str, Point]:
        """Return the best value of the grid for each point that is tuned."""
        runs = self._tuning_runs()
        records = iter(self._runs.records([config for run in runs for config in run.configs], told))
        best: dict[str, tuple[tuple[float, ...], Point]] = {}
        for run in runs:
            quality = _quality([next(records) for _ in run.configs])
            if run.name not in best or quality < best[run.name][0]:
                best[run.name] = quality, run.chosen
        return {name: chosen for name, (_, chosen) in best.items()}

    def _config(self, case: Case, tuned: dict[str, Point], seed: int, found: offline.Found | None = None) -> Config:
        steps = {offline.LOCAL_STEPS: list(found.local_steps)} if found else {}
        return configuration(self._study, case, {**self._chosen(case, tuned), **steps}, seed)

    def _chosen(self, case: Case, tuned: dict[str, Point]) -> Point:
        return tuned.get(tuning_case(self._study, case).name, {})

    def _trials(self) -> list[Config]:
        """Return a run of each case as it is without tuning."""
        seed = self._study.experiment.seeds[0]
        return [configuration(self._study, case, self._first_of_grid(), seed) for case in self._cases]

    def _first_of_grid(self) -> Point:
        tuning = self._study.experiment.tuning
        return {tuning.key: tuning.grid[0]} if tuning.grid else {}

    # ---- report --------------------------------------------------------------------------------------------------

    def _paper(self, case: Case) -> dict[str, float]:
        numbers = [entry.numbers for entry in self._study.experiment.paper if entry.at == dict(case.point)]
        return numbers[0] if numbers else {}

    def _write(self, rows: Sequence[Row], found: Sequence[offline.Found]) -> Report:
        from adsp_mpi.analysis.figures import write_figure
        from adsp_mpi.analysis.sweep_figure import sweep_figure

        experiment = self._study.experiment
        stem = self._folder / f"{self._study.name}{'-real' * (self._real is not None)}"
        target = rows[0].runs[0].summary["target_loss"]
        figure = sweep_figure(rows, experiment.panel, experiment.reference, target)
        figures = stem.with_suffix(".png"), stem.with_suffix(".svg")
        for path in figures:
            write_figure(figure, path)
        text = self._text(rows, found, figures[0].name)
        markdown, csv = stem.with_suffix(".md"), stem.with_suffix(".csv")
        markdown.write_text(text, encoding="utf-8")
        csv.write_text(sweep_table(rows, self._columns(), "csv", experiment.reference), encoding="utf-8")
        return Report(markdown, csv, figures, text)

    def _text(self, rows: Sequence[Row], found: Sequence[offline.Found], figure: str) -> str:
        experiment = self._study.experiment
        tables = [
            sweep_table([row for row in rows if row.sweep == number], self._columns(), "markdown", experiment.reference)
            for number in range(len(experiment.sweep))
        ]
        parts = [
            f"# {experiment.title}",
            experiment.claim,
            f"Workload: {self._study.workload}. {self._budget()}",
            experiment.note,
            self._in_real_time(),
            "Medians over the seeds, lowest and highest in brackets; a dash: the target was not reached in time.",
            *tables,
            verdict(rows),
            "\n".join(
                f"The offline search made {each.trials} runs of {each.spent_s:.0f} s together. "
                f"Steps in a commit, worker by worker: {', '.join(map(str, each.local_steps))}."
                for each in found
            ),
            f"![{experiment.title}]({figure})",
        ]
        return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"

    def _columns(self) -> tuple[str, ...]:
        columns = self._study.experiment.columns
        return columns if self._real is None else (*columns, "fidelity")

    def _in_real_time(self) -> str:
        if self._real is None:
            return ""
        return (
            f"Real time: under mpirun on {n_cores()} cores, {self._real.time_scale:g} device seconds in a wall second; "
            "tuned in virtual time. Fidelity: the share of steps that took the time asked for."
        )

    def _budget(self) -> str:
        tuning, seeds = self._study.experiment.tuning, self._study.experiment.seeds
        repeats = f"{len(seeds)} seed{'s' * (len(seeds) > 1)}"
        if not tuning.grid:
            return f"{repeats}; nothing is tuned."
        grid = ", ".join(map(str, tuning.grid))
        return (
            f"{repeats}. {tuning.key} is tuned on the grid {grid}, {len(tuning.seeds)} other seed"
            f"{'s' * (len(tuning.seeds) > 1)} each, anew for each value of {', '.join(tuning.per) or 'nothing'}: "
            f"the same budget for everybody.{self._smaller()}"
        )

    def _smaller(self) -> str:
        """Say what is different in the runs of the tuning."""
        tables = self._study.tuning.items()
        changes = [f"{section}.{name} = {value}" for section, table in tables for name, value in table.items()]
        return f" The runs for that have {', '.join(changes)}." if changes else ""


def _length_s(config: Config) -> float:
    assert config.stop.max_time_s is not None, "experiments have it"
    return config.stop.max_time_s


def _quality(records: Sequence[RunRecord]) -> tuple[float, ...]:
    """Return what is less for better runs: the median time to target, then the median final loss."""
    return tuple(Spread.of([record.summary[name] for record in records]).median for name in (TIME, "loss"))
