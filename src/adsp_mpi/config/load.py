"""Reading, checking and writing configurations; the only file that knows pydantic. Rank 0 only."""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import tomli_w
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from adsp_mpi.config.sections import Config, StopOptions
from adsp_mpi.errors import ConfigError, must
from adsp_mpi.sync import scheme_class
from adsp_mpi.sync.scheme import SyncOptions
from adsp_mpi.updates.payload import codec_class
from adsp_mpi.updates.payload.codec import PayloadOptions

Tables = dict[str, dict[str, Any]]
Place = tuple[int | str, ...]  # of a value within nested tables and lists
SECTIONS = tuple(field.name for field in fields(Config) if field.name != "scheme")


# The job that runs when nothing is configured. Over 20 seeds the simulated job ends at 96-98 % test accuracy.
DEFAULTS: Tables = {"devices": {"latency_s": 0.05}, "stop": {"target_loss": 0.13, "max_time_s": 30.0}}


def check_ending(config: Config) -> None:
    """Refuse a run that would never end.

    Raises
    ------
    ConfigError
        if nothing in section ``[stop]`` ends it
    """
    if config.stop == StopOptions(evaluations_below_target=config.stop.evaluations_below_target):
        raise must("stop", "a table with target_loss, max_time_s, max_steps or max_versions", {})


def read_config(path: Path | None = None, settings: Sequence[str] = (), defaults: Tables | None = None) -> Config:
    """Return the configuration of a file and of ``section.key=value`` settings, which win: see `read_tables`."""
    return build_config(read_tables(path, settings, defaults))


def read_tables(
    path: Path | None = None, settings: Sequence[str] = (), defaults: Tables | None = None, called: str = "--config"
) -> Tables:
    """Return what a file and settings say, as one table per section, not yet checked beyond that.

    Parameters
    ----------
    path : a TOML file; None for the defaults alone
    settings : values are TOML; a bare word is text
    defaults : what holds where neither file nor settings say anything
    called : what the file is, for messages

    Raises
    ------
    ConfigError
        for the first thing that is wrong: ``<name> must be <rule>, got <value>`` or ``unknown key <name>; ...``
    """
    tables: Tables = {section: dict(table) for section, table in (defaults or {}).items()}
    for source in (_read_toml(path, called) if path else {}, *map(_parse_setting, settings)):
        for section, table in source.items():
            _check_section(section, table)
            tables.setdefault(section, {}).update(table)
    return tables


def build_config(tables: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return the configuration made of tables as TOML has them.

    Raises
    ------
    ConfigError
        see `read_config`
    """
    for section, table in tables.items():
        _check_section(section, table)
    sync = dict(tables.get("sync", {}))
    scheme = sync.pop("scheme", Config.scheme)
    if not isinstance(scheme, str):
        raise must("sync.scheme", "a name", scheme)
    types: dict[str, Any] = {field.name: field.default_factory for field in fields(Config) if field.name in SECTIONS}
    types["sync"] = scheme_class(scheme).Options
    codec = tables.get("payload", {}).get("codec", PayloadOptions.codec)
    types["payload"] = codec_class(codec).Options if isinstance(codec, str) else PayloadOptions
    all_tables = {**tables, "sync": sync}
    sections = {section: read_options(section, types[section], all_tables.get(section, {})) for section in SECTIONS}
    return Config(scheme=scheme, **sections)


def to_tables(config: Config) -> Tables:
    """Return a configuration as TOML tables; what is unset is left out."""
    tables = {section: _without_none(asdict(getattr(config, section))) for section in SECTIONS}
    tables["sync"] = {"scheme": config.scheme, **tables["sync"]}
    return tables


def to_toml(config: Config) -> str:
    """Return a configuration as the text of a TOML file; reading it gives the same configuration."""
    return tomli_w.dumps(to_tables(config))


def repeatable(config: Config, n_workers: int) -> Config:
    """Return `config` as it must be run to repeat a run: with its number of workers, without its folder's name."""
    run = replace(config.run, workers=n_workers)
    return replace(config, run=run, output=replace(config.output, name=None))


def _read_toml(path: Path, called: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise must(called, "a readable TOML file", str(path)) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{called} must be valid TOML, got {str(path)!r}: {exc}") from exc


def _parse_setting(setting: str) -> dict[str, Any]:
    name, equals, text = setting.partition("=")
    section, _, key = name.strip().partition(".")
    if not (equals and section and key) or "." in key:
        raise must("--set", "section.key=value", setting)
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return {section: {key: value}}


def _check_section(section: str, table: object) -> None:
    if section not in SECTIONS:
        raise unknown("section", (section,), SECTIONS)
    if not isinstance(table, Mapping):
        raise must(section, f"a table [{section}]", table)


def _check_values(place: Place, value: object) -> None:
    """Check what holds for every value, whatever its field: finite numbers that every TOML reader takes, no dates."""
    rule = None
    match value:
        case dict():
            for key, item in value.items():
                _check_values((*place, key), item)
        case list() | tuple():
            for number, item in enumerate(value):
                _check_values((*place, number), item)
        case float():
            rule = None if math.isfinite(value) else "a finite number"
        case int():
            rule = None if -(2**63) <= value < 2**63 else "an integer of 64 bits"
        case str():
            rule = "text without NUL" if "\0" in value else None if _is_unicode(value) else "valid UTF-8"
        case None:
            pass
        case _:
            rule = "a number, text in quotes, true or false, a list or a table"
    if rule is not None:
        raise must(_dotted(place), rule, value)


def _is_unicode(text: str) -> bool:
    """Whether the text can be written; a byte of a command line that is not UTF-8 cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def read_options(section: str, cls: Any, table: Mapping[str, Any]) -> Any:
    """Return a table as an object of the dataclass `cls`, its values checked.

    Raises
    ------
    ConfigError
        see `read_config`; `section` is the table's name in messages

    Notes
    -----
    JSON's strict mode takes lists for tuples but no '5' for 5.
    """
    values = dict(table)
    _check_values((section,), values)
    try:
        return TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
    except ValidationError as exc:
        raise _first_error(section, cls, values, exc) from None


def unknown(kind: str, place: Place, known: Sequence[str]) -> ConfigError:
    """Return the error for a section or key at `place` that is none of those known there."""
    *table, name = place
    close = _closest(str(name), known)
    told = f"did you mean {_dotted((*table, close))}?" if close else f"known {kind}s: {', '.join(known)}"
    return ConfigError(f"unknown {kind} {_dotted(place)}; {told}")


def _closest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that `name` misspells or, as lr does, abbreviates to the initials of its words."""
    close = difflib.get_close_matches(name, known, n=1)
    initials = (each for each in known if "".join(word[:1] for word in each.split("_")) == name)
    return close[0] if close else next(initials, None)


def _first_error(section: str, cls: Any, table: dict[str, Any], exc: ValidationError) -> ConfigError:
    """Return the first error as one line; a union reports one error per member, which are joined by 'or'."""
    errors = exc.errors(include_url=False)
    place = _place(errors[0], table)
    same = [error for error in errors if _place(error, table) == place]
    if same[0]["type"] == "unexpected_keyword_argument":
        return unknown("key", (section, *place), _known_keys(cls, place[:-1]))
    rules = dict.fromkeys(_rule(error) for error in same)
    return must(_dotted((section, *place)), " or ".join(rules), same[0]["input"])


def _place(error: ErrorDetails, table: dict[str, Any]) -> Place:
    """Return where in the table an error is: its location without the names that pydantic gives to union members."""
    place: Place = ()
    value: Any = table
    for part in error["loc"]:
        if isinstance(value, dict) and (part in value or error["type"] == "missing"):
            value = value.get(part)
        elif isinstance(value, list | tuple) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        else:
            break
        place = (*place, part)
    return place


def _dotted(place: Place) -> str:
    """Return a place as TOML writes it: what is not a plain word in quotes."""
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else json.dumps(part) for part in map(str, place))


_RULES = {
    "greater_than": "> {gt:g}",
    "greater_than_equal": ">= {ge:g}",
    "less_than": "< {lt:g}",
    "less_than_equal": "<= {le:g}",
    "literal_error": "{expected}",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "too_long": "a list of {max_length}",
    "missing": "given",
    "dataclass_type": "a table",
}


def _rule(error: ErrorDetails) -> str:
    rule = _RULES.get(error["type"])
    return rule.format(**error.get("ctx", {})) if rule else error["msg"]


def _known_keys(cls: Any, place: Place) -> Sequence[str]:
    """Return the keys of the table at `place` within a section of class `cls`."""
    options = _options_at(cls, place)
    return [field.name for field in fields(options)] + ["scheme"] * issubclass(options, SyncOptions)


def _options_at(cls: Any, place: Place) -> Any:
    """Return the dataclass of the table at `place` within a section of class `cls`."""
    for part in place:
        if isinstance(part, str):
            cls = next(filter(is_dataclass, _members(get_type_hints(cls)[part])))
    return cls


def _members(hint: Any) -> Iterator[Any]:
    yield hint
    for member in get_args(hint):
        yield from _members(member)


def _without_none(value: Any) -> Any:
    """Return nested tables without what is unset, which TOML cannot say; tuples as lists."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value
