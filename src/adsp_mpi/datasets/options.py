"""The data's section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Lt


@dataclass(frozen=True)
class DataOptions:
    """Which data set, how it is split, and which part of it each worker sees."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # one of datasets.names()
    name: str = "digits"
    # share of all samples that the global loss is computed on
    validation_fraction: Annotated[float, Gt(0), Lt(1)] = 0.15
    # share of all samples that are kept for the final report
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    # compute the global loss on so many validation samples, always the same; none: on all
    validation_limit: Annotated[int, Ge(1)] | None = None
    # iid: alike for all workers; dirichlet: skewed mixtures of classes; by_class: each worker its own classes
    shards: Literal["iid", "dirichlet", "by_class"] = "iid"
    # concentration of the mixtures (dirichlet): the smaller, the more skewed
    dirichlet_alpha: Annotated[float, Gt(0)] = 0.5
