"""The experiment that docs/reproduction.md shows can be run."""

import re
from pathlib import Path
from typing import Any

from adsp_mpi.experiments.description import study
from adsp_mpi.experiments.plan import cases, configuration, tuning_case

PAGE = Path(__file__).parents[3] / "docs" / "reproduction.md"


def test_the_example(tmp_path):
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    path = tmp_path / "example.toml"
    path.write_text(example, encoding="utf-8")
    for is_quick in (False, True):
        chosen = study(str(path), is_quick=is_quick)
        options: list[Any] = [configuration(chosen, c, {"model.learning_rate": 0.2}, 1).sync for c in cases(chosen)]
        assert [each.tau for each in options] == [5, 10, 20, 40, 80]
        assert len({tuning_case(chosen, case).name for case in cases(chosen)}) == 5
