"""``resume``: resume an interrupted run."""

from __future__ import annotations

import typer

from adsp_mpi import api
from adsp_mpi.cli.closing import close
from adsp_mpi.cli.options import ProgressOption, QuietOption, RunArgument, SetOption
from adsp_mpi.cli.progress import progress
from adsp_mpi.cli.ranks import Ranks
from adsp_mpi.config.load import read_tables
from adsp_mpi.engine.signals import StopRequest


def resume(
    context: typer.Context,
    run: RunArgument,
    settings: SetOption = None,
    quiet: QuietOption = False,
    how: ProgressOption = "auto",
) -> None:
    """Go on with a run from its newest checkpoint that is whole.

    A real run wants its ranks back: mpirun -n 5 python -m adsp_mpi resume runs/NAME; a simulated one is resumed without
    mpirun. With --set stop.KEY=VALUE a run continues beyond its end.
    """
    ranks = context.find_object(Ranks)
    changes = read_tables(settings=settings or ())
    with StopRequest() as stop, progress("none" if quiet else how) as shown:
        if ranks is None or ranks.size == 1:
            result = api.resume_simulation(run, changes, observe=shown, say=shown.say, stop=stop)
        else:
            result = ranks.run(
                lambda world: api.resume(run, world, changes=changes, observe=shown, say=shown.say, stop=stop)
            )
    close(result, stop, quiet)
