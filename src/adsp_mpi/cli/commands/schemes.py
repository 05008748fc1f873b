"""``schemes``: what can be chosen as sync.scheme."""

from __future__ import annotations

import json
from dataclasses import fields

from adsp_mpi import sync


def schemes() -> None:
    """List the schemes: what each does, where it comes from, its options."""
    found = {name: sync.scheme_class(name) for name in sync.names()}
    width = max(map(len, found), default=0)
    for name, scheme in found.items():
        options = [f"{field.name} = {json.dumps(field.default)}" for field in fields(scheme.Options)]
        print(f"{name:{width}}  {scheme.summary}")
        print(f"{'':{width}}  source: {scheme.source or 'not said'}")
        print(f"{'':{width}}  {', '.join(options)}")
