"""What a configuration names as ``module.path:attribute``: code that comes with a user, not with the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from adsp_mpi.errors import must


def own_factory(setting: str, name: str, known: Sequence[str]) -> Callable[..., Any]:
    """Return the factory that ``module.path:attribute`` names.

    Parameters
    ----------
    setting : what is configured so, for the messages: ``model.name``
    known : the names that need no module

    Raises
    ------
    ConfigError
        if it cannot be imported or called
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        raise must(setting, f"one of {', '.join(known)} or module.path:factory", name)
    try:
        factory: Callable[..., Any] = getattr(import_module(module), attribute)
    except Exception as exc:  # whatever the module does when it is imported
        why = (str(exc).splitlines() or [type(exc).__name__])[0]
        raise must(setting, f"module.path:factory of something that can be imported ({why})", name) from exc
    if not callable(factory):
        raise must(setting, "module.path:factory of something that can be called", name)
    return factory
