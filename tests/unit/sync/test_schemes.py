from importlib.metadata import EntryPoint

import pytest

from adsp_mpi import sync
from adsp_mpi.errors import ConfigError
from adsp_mpi.sync.base import Setting, SyncOptions


@pytest.mark.parametrize("name", ["adsp", "asp", "bsp", "fixed_adacomm", "ssp"])
def test_each_scheme_is_found_by_its_name_and_made_of_its_options(name):
    cls = sync.scheme_class(name)
    assert cls.name == name
    assert cls.summary
    assert issubclass(cls.Options, SyncOptions)
    cls(cls.Options(), Setting(n_workers=2, check_period_s=1.0))


def test_names_are_those_of_the_entry_points():
    assert {"adsp", "asp", "bsp", "fixed_adacomm", "ssp"} <= set(sync.names())


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"^sync.scheme must be one of adsp, asp, .*ssp, got 'dssp'$"):
        sync.scheme_class("dssp")


def test_a_scheme_of_another_package_is_found(monkeypatch):
    entry = EntryPoint("barrier", "adsp_mpi.sync.bsp:Bsp", sync.GROUP)
    monkeypatch.setattr(sync, "_found", lambda: {"barrier": entry})
    assert sync.names() == ["barrier"]
    assert sync.scheme_class("barrier").name == "bsp"
