import string
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from typing import Annotated, Any

import pytest
from annotated_types import Gt
from hypothesis import given
from hypothesis import strategies as st

from adsp_mpi import sync
from adsp_mpi.config.load import SECTIONS, build_config, read_config, repeatable, to_tables, to_toml
from adsp_mpi.config.sections import Config, OutputOptions, RunOptions
from adsp_mpi.devices.options import DeviceOptions, WorkerDevice
from adsp_mpi.errors import ConfigError
from adsp_mpi.sync.adsp import AdspOptions
from adsp_mpi.sync.scheme import Scheme, SyncOptions
from adsp_mpi.sync.ssp import SspOptions


def refusal(*args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        read_config(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "run.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


# ---- files -----------------------------------------------------------------------------------------------------


def test_without_anything_the_defaults_hold():
    assert read_config() == build_config({}) == Config()


def test_a_file_gives_sections_and_the_scheme_its_options(file):
    path = file('[run]\nseed = 7\n[sync]\nscheme = "ssp"\nstaleness = 3\n[[devices.worker]]\nslowdown = 2\n')
    config = read_config(path)
    assert config.scheme == "ssp"
    assert config.sync == SspOptions(staleness=3)
    assert config.run == RunOptions(seed=7)
    assert config.devices == DeviceOptions(worker=(WorkerDevice(slowdown=2.0),))
    assert config.model == Config().model


def test_settings_win_over_the_file_and_the_file_over_defaults(file):
    path = file("[run]\nseed = 7\nworkers = 3\n")
    defaults: dict[str, dict[str, Any]] = {"run": {"seed": 1, "workers": 2, "time_scale": 4.0}, "output": {"name": "x"}}
    config = read_config(path, ["run.seed=8", "run.seed=9"], defaults)
    assert config.run == RunOptions(seed=9, workers=3, time_scale=4.0)
    assert config.output.name == "x"
    assert defaults["run"]["seed"] == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path, file):
    for path in (tmp_path / "none.toml", tmp_path, file(b'[run]\nname = "\xff"')):
        assert refusal(path) == f"--config must be a readable TOML file, got {str(path)!r}"


def test_a_file_that_is_no_toml_is_refused_with_the_place(file):
    for text in ("[run\nseed = 1", "[run]\nseed = 1\nseed = 2", "[run]\nseed: 1", "[run]\nseed = 0x"):
        path = file(text)
        message = refusal(path)
        assert message.startswith(f"--config must be valid TOML, got {str(path)!r}: ")
        assert message.endswith(")")  # (at line 1, column 5), (at end of document)


def test_infinite_numbers_of_toml_are_refused(file):
    for word in ("inf", "-inf", "nan"):
        message = refusal(file(f"[stop]\nmax_time_s = {word}"))
        assert message == f"stop.max_time_s must be a finite number, got {word}"


# ---- settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "section", "key", "value"),
    [
        ("run.seed=3", "run", "seed", 3),
        (" run.seed = 1_000 ", "run", "seed", 1000),
        ("run.time_scale=1e-2", "run", "time_scale", 0.01),
        ("run.time_scale=2", "run", "time_scale", 2.0),
        ("devices.relative=true", "devices", "relative", True),
        ("run.workers=auto", "run", "workers", "auto"),
        ('run.workers="auto"', "run", "workers", "auto"),
        ("data.name=digits", "data", "name", "digits"),
        ("devices.profile=1:1:3", "devices", "profile", "1:1:3"),
        ("model.name=my.models:make", "model", "name", "my.models:make"),
        ("output.dir=../Some where/x=y", "output", "dir", "../Some where/x=y"),
        ("output.name='3'", "output", "name", "3"),
        ("output.name=", "output", "name", ""),
        ("devices.worker=[{slowdown=2}, {}]", "devices", "worker", (WorkerDevice(slowdown=2.0), WorkerDevice())),
        ("stop.target_loss=0.25", "stop", "target_loss", 0.25),
    ],
)
def test_a_setting_is_toml_or_a_bare_word(setting, section, key, value):
    found = getattr(getattr(read_config(settings=[setting]), section), key)
    assert found == value
    assert type(found) is type(value)


def test_settings_choose_the_scheme_and_its_options():
    config = read_config(settings=["sync.staleness=5", "sync.scheme=ssp"])
    assert (config.scheme, config.sync) == ("ssp", SspOptions(staleness=5))


@pytest.mark.parametrize(
    "setting", ["", "run.seed", "seed=3", "run.=3", ".seed=3", "=3", "run.seed:3", "devices.slow_spells.factor=3"]
)
def test_a_setting_that_is_none_is_refused(setting):
    assert refusal(settings=[setting]) == f"--set must be section.key=value, got {setting!r}"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("run.seed=five", "run.seed must be an integer, got 'five'"),
        ('run.seed="5"', "run.seed must be an integer, got '5'"),
        ("run.seed=5.0", "run.seed must be an integer, got 5.0"),
        ("run.sed=5", "unknown key run.sed; did you mean run.seed?"),
        ("runs.seed=5", "unknown section runs; did you mean run?"),
        ("here.seed=5", f"unknown section here; known sections: {', '.join(SECTIONS)}"),
        ("sync.check_period_s=-1", "sync.check_period_s must be > 0 or 'auto', got -1"),
        ("sync.check_period_s=inf", "sync.check_period_s must be a finite number, got inf"),
        ("stop.target_loss=", "stop.target_loss must be a number, got ''"),
        ("output.name=3", "output.name must be text, got 3"),
        ("sync.scheme=dssp", f"sync.scheme must be one of {', '.join(sync.names())}, got 'dssp'"),
    ],
)
def test_a_wrong_setting_is_refused_like_a_wrong_file(setting, message):
    assert refusal(settings=[setting]) == message


# ---- schemes of other packages ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LazyOptions(SyncOptions):
    naps: Annotated[int, Gt(0)] = 2


class Lazy(Scheme):
    name = "lazy"
    summary = "a scheme of another package"
    Options = LazyOptions


class LazyEntry(EntryPoint):
    def load(self):
        return Lazy


def test_a_scheme_of_another_package_brings_its_options(monkeypatch):
    entry = LazyEntry("lazy", "somewhere:Lazy", sync.GROUP)
    monkeypatch.setattr(sync, "_found", lambda: {"lazy": entry})
    config = read_config(settings=["sync.scheme=lazy", "sync.naps=3", "sync.momentum=0.5"])
    assert config.sync == LazyOptions(naps=3, momentum=0.5)
    assert refusal(settings=["sync.scheme=lazy", "sync.naps=0"]) == "sync.naps must be > 0, got 0"
    assert refusal(settings=["sync.scheme=lazy", "sync.nap=1"]).startswith(
        "unknown key sync.nap; did you mean sync.naps?"
    )
    assert build_config(to_tables(config)) == config


# ---- writing ---------------------------------------------------------------------------------------------------

positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
words = st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.text(string.ascii_letters)
sync_tables = st.one_of(
    st.fixed_dictionaries({"scheme": st.sampled_from(["bsp", "asp"])}, optional={"check_period_s": positive}),
    st.fixed_dictionaries(
        {"scheme": st.just("adsp")}, optional={"commit_rate": positive | st.just("auto"), "divergence": positive}
    ),
    st.fixed_dictionaries(
        {"scheme": st.just("ssp")},
        optional={"staleness": st.integers(1, 2**63 - 1), "strict": st.booleans(), "pull": st.just("when_needed")},
    ),
    st.fixed_dictionaries({"scheme": st.just("fixed_adacomm")}, optional={"tau": st.integers(1, 10**6)}),
)
drifts = st.lists(st.tuples(st.floats(0, 1e300), positive).map(list), max_size=3)
spells = st.fixed_dictionaries({"interval_s": positive, "duration_s": positive, "factor": positive})
workers = st.fixed_dictionaries({}, optional={"slowdown": positive, "drift": drifts, "slow_spells": spells})
configurations = st.fixed_dictionaries(
    {"sync": sync_tables},
    optional={
        "run": st.fixed_dictionaries({"seed": st.integers(0, 2**63 - 1), "time_scale": positive}),
        "devices": st.fixed_dictionaries({"worker": st.lists(workers, max_size=3)}),
        "output": st.fixed_dictionaries({"dir": words, "name": words}),
        "stop": st.fixed_dictionaries({}, optional={"target_loss": positive, "max_steps": st.integers(1, 10**18)}),
    },
)


@given(configurations)
def test_what_is_written_reads_back_equal(tmp_path_factory, tables):
    config = build_config(tables)
    path = tmp_path_factory.mktemp("written") / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert read_config(path) == config


@pytest.mark.parametrize("scheme", ["adsp", "asp", "bsp", "fixed_adacomm", "ssp"])
def test_every_option_is_written_but_what_is_unset(scheme):
    tables = to_tables(build_config({"sync": {"scheme": scheme}}))
    assert tables["sync"]["scheme"] == scheme
    assert tables["sync"]["check_period_s"] == "auto"
    assert "target_loss" not in tables["stop"]
    assert list(tables) == ["run", "data", "model", "sync", "payload", "devices", "stop", "output"]


def test_repeating_a_run_needs_its_number_of_workers_and_a_new_folder():
    config = Config(
        run=RunOptions(seed=5), sync=AdspOptions(commit_rate=2.0), output=OutputOptions(dir="here", name="first")
    )
    again = repeatable(config, 7)
    assert again.run == RunOptions(seed=5, workers=7)
    assert again.output == OutputOptions(dir="here", name=None)
    assert replace(again, run=config.run, output=config.output) == config
