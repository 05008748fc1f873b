"""``schemes``: what can be chosen as sync.scheme."""

from __future__ import annotations

import json
from dataclasses import fields

from adsp_mpi import sync


def schemes() -> None:
    """List the schemes and their options."""
    for name in sync.names():
        scheme = sync.scheme_class(name)
        options = [f"{field.name} = {json.dumps(field.default)}" for field in fields(scheme.Options)]
        print(f"{name:14} {scheme.summary}\n{'':14} {', '.join(options)}")
