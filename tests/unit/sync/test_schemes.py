import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from adsp_mpi import api, sync
from adsp_mpi.errors import ConfigError
from adsp_mpi.sync.scheme import SyncOptions
from adsp_mpi.sync.view import Setting

BUILT_IN = [
    *("adacomm", "adsp", "adsp_plus", "asp", "batchtune_bsp", "batchtune_fixed_adacomm"),
    *("bsp", "fixed_adacomm", "r2sp", "ssp"),
]


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_scheme_is_found_by_its_name_and_made_of_its_options(name):
    cls = sync.scheme_class(name)
    assert cls.name == name
    assert cls.summary
    assert cls.source
    assert "Source" in cls.__doc__
    assert issubclass(cls.Options, SyncOptions)
    cls(cls.Options(), Setting(n_workers=2, check_period_s=1.0))


def test_names_are_those_of_the_entry_points():
    assert set(BUILT_IN) <= set(sync.names())


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"^sync.scheme must be one of adacomm, adsp, .*ssp, got 'dssp'$"):
        sync.scheme_class("dssp")


def test_a_scheme_of_another_package_is_found(monkeypatch):
    entry = EntryPoint("barrier", "adsp_mpi.sync.bsp:Bsp", sync.GROUP)
    monkeypatch.setattr(sync, "_found", lambda: {"barrier": entry})
    assert sync.names() == ["barrier"]
    assert sync.scheme_class("barrier").name == "bsp"


PAGE = (Path(__file__).parents[3] / "docs" / "schemes.md").read_text(encoding="utf-8")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install the example of docs/schemes.md as pip would: a module, and metadata with its entry points."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (group, entries) = re.search(r'```toml\n\[project.entry-points."(.*?)"\]\n(.*?)```', PAGE, flags=re.DOTALL).groups()
    (tmp_path / "my_package.py").write_text(code)
    metadata = tmp_path / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n" + entries.replace('"', ""))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("package")
def test_the_example_of_the_documentation_runs_as_a_package_of_its_own():
    assert "every_third" in sync.names()
    config = {"sync": {"scheme": "every_third"}, "model": {"name": "softmax"}, "stop": {"max_steps": 60}}
    commits = api.simulate(config, write=False).trace.arrays("commits")
    assert set(commits["steps"]) == {3}
    assert set(commits["worker"]) == {0, 1, 2, 3}
