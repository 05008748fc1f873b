"""The exceptions of adsp_mpi, the messages' wording, and nothing else.

::

    AdspError                 anything a caller may want to catch
    ├── ConfigError           the configuration, the data or the command is wrong (exit status 2)
    ├── TraceError            a run folder or a file of it cannot be read (exit status 2)
    └── StalledError          somebody is waited for past the deadline (exit status 3)
"""

from __future__ import annotations


class AdspError(Exception):
    """Root of the errors that a user of the package may catch."""

    exit_status = 1


class ConfigError(AdspError):
    """A configuration, data set or command line that cannot be run."""

    exit_status = 2


class TraceError(AdspError):
    """A run folder, trace or checkpoint that is missing, damaged or not ours."""

    exit_status = 2


class StalledError(AdspError):
    """A wait that went past its deadline; the message names who waits for whom."""

    exit_status = 3


def must(name: str, rule: str, got: object) -> ConfigError:
    """Return the error ``<name> must be <rule>, got <value>``."""
    return ConfigError(f"{name} must be {rule}, got {got!r}")
