"""Every field of every section wrong in turn; what is tried comes from the dataclasses themselves."""

import datetime
import math
import types
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Gt, Le, Lt

from adsp_mpi import sync
from adsp_mpi.config.load import build_config
from adsp_mpi.config.sections import Config
from adsp_mpi.devices.device import SlowSpells
from adsp_mpi.devices.options import WorkerDevice
from adsp_mpi.errors import ConfigError

TYPE_RULES = {int: "an integer", float: "a number", bool: "true or false", str: "text", tuple: "a list"}
VALUES: tuple[Any, ...] = (True, 0, 7, -2.5, 2.0, "7", "", [], [7], {}, {"int": 7})  # of every type that TOML has


@dataclass
class Table:
    """A table of a configuration: where it stands, its class, and what it cannot do without."""

    name: str
    cls: Any
    tables: Any  # the configuration with this table in it
    needed: dict = field(default_factory=dict)


def section(name, **needed):
    return lambda table: {name: {**needed, **table}}


SPELLS = {"interval_s": 9.0, "duration_s": 1.0, "factor": 2.0}
TABLES = [
    *(
        Table(f.name, f.default_factory, section(f.name))
        for f in fields(Config)
        if f.default_factory is not MISSING and f.name != "sync"
    ),
    *(Table("sync", sync.scheme_class(name).Options, section("sync", scheme=name)) for name in sync.names()),
    Table("devices.slow_spells", SlowSpells, lambda table: {"devices": {"slow_spells": table}}, SPELLS),
    Table("devices.worker.1", WorkerDevice, lambda table: {"devices": {"worker": [{}, table]}}),
    Table(
        "devices.worker.0.slow_spells",
        SlowSpells,
        lambda table: {"devices": {"worker": [{"slow_spells": table}]}},
        SPELLS,
    ),
]


def members(hint):
    """Return the types that a field may have, None aside, each with its bounds."""
    if get_origin(hint) in (Union, types.UnionType):
        return [member for part in get_args(hint) for member in members(part)]
    if get_origin(hint) is Annotated:
        base, *bounds = get_args(hint)
        return [(base, bounds)]
    return [] if hint is type(None) else [(hint, [])]


def has_type(value, kind):
    if get_origin(kind) is Literal:
        return value in get_args(kind) and isinstance(value, str)
    if get_origin(kind) is tuple:
        return isinstance(value, list)
    if is_dataclass(kind):
        return isinstance(value, dict)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def type_rule(kind):
    if get_origin(kind) is Literal:
        *rest, last = map(repr, get_args(kind))
        return f"{', '.join(rest)} or {last}" if rest else last
    return "a table" if is_dataclass(kind) else TYPE_RULES[get_origin(kind) or kind]


def beyond(bound):
    """Return values that break a bound, and the bound in words."""
    match bound:
        case Gt(gt=int() | float() as limit):
            return (limit, limit - 1), f"> {limit}"
        case Ge(ge=int() | float() as limit):
            return (limit - 1,), f">= {limit}"
        case Lt(lt=int() | float() as limit):
            return (limit, limit + 1), f"< {limit}"
        case Le(le=int() | float() as limit):
            return (limit + 1,), f"<= {limit}"
    raise NotImplementedError(bound)


def wrong_values(hint):
    """Yield values that a field must refuse, and the rule it must name."""
    kinds = members(hint)
    for value in VALUES:
        if not any(has_type(value, kind) for kind, _ in kinds):
            yield value, " or ".join(type_rule(kind) for kind, _ in kinds)
    for kind, bounds in kinds:
        others = [type_rule(other) for other, _ in kinds if other is not kind]
        for values, rule in map(beyond, bounds):
            for value in values:
                yield value, " or ".join([rule, *others])
        if kind in (int, float):
            for value in (math.inf, -math.inf, math.nan):
                yield value, "a finite number"


def refusal(**tables):
    with pytest.raises(ConfigError) as caught:
        build_config(tables)
    return str(caught.value)


def each_field():
    for table in TABLES:
        hints = get_type_hints(table.cls, include_extras=True)
        for f in fields(table.cls):
            place = f"{table.name}[{table.cls.__name__}].{f.name}"
            yield pytest.param(table, f.name, list(wrong_values(hints[f.name])), id=place)


def test_no_field_is_forgotten():
    found = list(each_field())
    assert len(found) == sum(len(fields(table.cls)) for table in TABLES) > 80
    assert all(len(values) >= 8 for _, _, values in (param.values for param in found))


@pytest.mark.parametrize(("table", "key", "values"), list(each_field()))
def test_a_wrong_value_is_refused_in_one_line(table, key, values):
    for value, rule in values:
        message = refusal(**table.tables({**table.needed, key: value}))
        assert message == f"{table.name}.{key} must be {rule}, got {value!r}"


@pytest.mark.parametrize(("table", "key", "_values"), list(each_field()))
def test_a_misspelt_key_is_refused_with_the_right_one(table, key, _values):
    misspelt = key + key[-1]
    message = refusal(**table.tables({**table.needed, misspelt: 1}))
    assert message == f"unknown key {table.name}.{misspelt}; did you mean {table.name}.{key}?"


@pytest.mark.parametrize(
    ("section", "key", "meant"),
    [("model", "lr", "learning_rate"), ("model", "bs", "batch_size"), ("sync", "cr", "commit_rate")],
)
def test_the_initials_of_a_key_are_understood(section, key, meant):
    assert refusal(**{section: {key: 1}}) == f"unknown key {section}.{key}; did you mean {section}.{meant}?"


def test_a_key_of_another_scheme_is_refused_with_the_known_ones():
    known = "check_period_s, global_learning_rate, momentum, target_momentum, overlap, in_flight, tau, scheme"
    tables = {"scheme": "fixed_adacomm", "commit_rate": 2}
    assert refusal(sync=tables) == f"unknown key sync.commit_rate; known keys: {known}"


@pytest.mark.parametrize("key", ["a b", "int", "float", "", "ä.ö", "new\nline"])
def test_keys_that_look_like_something_else_are_named(key):
    message = refusal(stop={key: 1})
    assert message.startswith("unknown key stop.")
    assert "; known keys: target_loss, " in message
    assert "\n" not in message


def test_booleans_floats_and_text_are_no_integers_and_integers_are_numbers():
    assert refusal(run={"seed": True}) == "run.seed must be an integer, got True"
    assert refusal(run={"seed": 5.0}) == "run.seed must be an integer, got 5.0"
    assert refusal(run={"seed": "5"}) == "run.seed must be an integer, got '5'"
    assert refusal(run={"time_scale": True}) == "run.time_scale must be a number, got True"
    assert refusal(devices={"relative": 1}) == "devices.relative must be true or false, got 1"
    assert build_config({"run": {"time_scale": 5}}).run.time_scale == 5.0


def test_integers_are_of_64_bits_as_in_toml():
    assert build_config({"run": {"seed": 2**63 - 1}}).run.seed == 2**63 - 1
    assert refusal(run={"seed": 2**63}) == f"run.seed must be an integer of 64 bits, got {2**63}"
    assert refusal(run={"time_scale": 10**400}).startswith("run.time_scale must be an integer of 64 bits, got 1000")


def test_numbers_in_nested_lists_are_finite_too():
    worker = [{}, {"drift": [[0.0, 1.0], [9.0, math.inf]]}]
    assert refusal(devices={"worker": worker}) == "devices.worker.1.drift.1.1 must be a finite number, got inf"


@pytest.mark.parametrize(
    ("drift", "message"),
    [
        ([1, 2], "drift.0 must be a list, got 1"),
        ([[1]], "drift.0.1 must be given, got [1]"),
        ([[1, 2], [3, 4, 5]], "drift.1 must be a list of 2, got [3, 4, 5]"),
        ([[-1, 2]], "drift.0.0 must be >= 0, got -1"),
        ([[1, 0]], "drift.0.1 must be > 0, got 0"),
        ([[1, "2"]], "drift.0.1 must be a number, got '2'"),
    ],
)
def test_a_wrong_drift_is_refused_where_it_is_wrong(drift, message):
    assert refusal(devices={"worker": [{"drift": drift}]}) == f"devices.worker.0.{message}"


def test_a_missing_value_is_asked_for():
    spells = {"interval_s": 5.0, "factor": 2.0}
    assert refusal(devices={"slow_spells": spells}) == f"devices.slow_spells.duration_s must be given, got {spells}"


def test_only_the_first_thing_wrong_is_told():
    assert refusal(run={"polling": 1, "seed": -1, "x": 0}, stop={"max_steps": 0}) == "run.seed must be >= 0, got -1"


def test_what_toml_has_and_no_field_wants_is_refused():
    day = datetime.date(2024, 2, 29)
    rule = "a number, text in quotes, true or false, a list or a table"
    assert refusal(output={"name": day}) == f"output.name must be {rule}, got {day!r}"
    assert refusal(output={"dir": "caf\udce9"}) == "output.dir must be valid UTF-8, got 'caf\\udce9'"


@pytest.mark.parametrize("name", [3, True, ["adsp"]])
def test_the_name_of_a_scheme_is_text(name):
    assert refusal(sync={"scheme": name}) == f"sync.scheme must be a name, got {name!r}"


def test_sections_are_known_tables():
    known = "run, data, model, sync, payload, devices, stop, output"
    assert refusal(stopp={}) == "unknown section stopp; did you mean stop?"
    assert refusal(seed=3) == f"unknown section seed; known sections: {known}"
    assert refusal(run=3) == "run must be a table [run], got 3"
    assert refusal(run=[{}]) == "run must be a table [run], got [{}]"


def test_from_python_none_is_unset():
    assert build_config({"stop": {"target_loss": None}}) == build_config({})
    assert refusal(run={"seed": None}) == "run.seed must be an integer, got None"
