"""Reading, checking and writing configurations; the only file that knows pydantic. Rank 0 only."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from adsp_mpi.config.sections import Config
from adsp_mpi.errors import ConfigError, must
from adsp_mpi.sync import scheme_class

Tables = dict[str, dict[str, Any]]
SECTIONS = tuple(field.name for field in fields(Config) if field.name != "scheme")


def read_config(path: Path | None = None, settings: Sequence[str] = (), defaults: Tables | None = None) -> Config:
    """Return the configuration of a file and of ``section.key=value`` settings, which win.

    Parameters
    ----------
    path : a TOML file; None for the defaults alone
    settings : values are TOML; a bare word is text
    defaults : what holds where neither file nor settings say anything

    Raises
    ------
    ConfigError
        ``<name> must be <rule>, got <value>``, for the first thing that is wrong
    """
    tables: Tables = {section: dict(table) for section, table in (defaults or {}).items()}
    for source in (_read_toml(path) if path else {}, *map(_parse_setting, settings)):
        for section, table in source.items():
            _check_section(section, table)
            tables.setdefault(section, {}).update(table)
    return build_config(tables)


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
    all_tables = {**tables, "sync": sync}
    sections = {section: _validate(section, types[section], all_tables.get(section, {})) for section in SECTIONS}
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


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise must("--config", "a readable TOML file", str(path)) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"--config must be valid TOML, got {str(path)!r}: {exc}") from exc


def _parse_setting(setting: str) -> dict[str, Any]:
    name, equals, text = setting.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise must("--set", "section.key=value", setting)
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return {section: {key: value}}


def _check_section(section: str, table: object) -> None:
    if section not in SECTIONS:
        raise must(section, f"a section: one of {', '.join(SECTIONS)}", table)
    if not isinstance(table, Mapping):
        raise must(section, f"a table [{section}]", table)


def _validate(section: str, cls: Any, table: Mapping[str, Any]) -> Any:
    """Return the table as an options object; JSON's strict mode takes lists for tuples but no '5' for 5."""
    try:
        text = json.dumps(table)
    except TypeError as exc:
        raise must(section, "made of numbers, text, booleans, lists and tables", dict(table)) from exc
    try:
        return TypeAdapter(cls).validate_json(text, strict=True)
    except ValidationError as exc:
        raise _first_error(section, cls, exc) from None


def _first_error(section: str, cls: Any, exc: ValidationError) -> ConfigError:
    """Return the first error as one line; a union reports one error per member, which are joined by 'or'."""
    errors = exc.errors(include_url=False)
    place = _place(errors[0]["loc"])
    name = ".".join((section, *map(str, place)))
    same = [error for error in errors if _place(error["loc"]) == place]
    rules = dict.fromkeys(_rule(cls, error) for error in same)
    return must(name, " or ".join(rules), same[0]["input"])


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return an error's place without the names that pydantic gives to the members of a union."""
    return tuple(part for part in loc if isinstance(part, int) or part.isidentifier() and part not in _UNION_MEMBERS)


_UNION_MEMBERS = {"int", "float", "str", "bool"}
_RULES = {
    "unexpected_keyword_argument": "a known key",
    "greater_than": "> {gt}",
    "greater_than_equal": ">= {ge}",
    "less_than": "< {lt}",
    "less_than_equal": "<= {le}",
    "literal_error": "{expected}",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "finite_number": "a finite number",
    "missing": "given",
    "dataclass_type": "a table",
}


def _rule(cls: Any, error: Any) -> str:
    if error["type"] == "unexpected_keyword_argument":
        close = difflib.get_close_matches(str(error["loc"][-1]), [field.name for field in fields(cls)], n=1)
        return f"a known key (did you mean {close[0]}?)" if close else "a known key"
    rule = _RULES.get(error["type"])
    return rule.format(**error.get("ctx", {})) if rule else str(error["msg"])


def _without_none(value: Any) -> Any:
    """Return nested tables without what is unset, which TOML cannot say; tuples as lists."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value
