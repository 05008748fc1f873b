"""The data's section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Lt


@dataclass(frozen=True)
class DataOptions:
    """Which data set, how it is split, and which part of it each worker sees."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # one of datasets.names(), or module.path:factory
    name: str = "digits"
    # the folder of the data's files
    dir: str = "data"
    # the data's file (hdf5; chiller and rail, where it is not in the folder under its usual name)
    file: str | None = None
    # share of the samples that the global loss is computed on; of those for training, where test samples come apart
    validation_fraction: Annotated[float, Gt(0), Lt(1)] = 0.15
    # share of all samples that are kept for the final report, unless they come apart (cifar10, hdf5)
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    # compute the global loss on so many validation samples, always the same; none: on all, but 2,000 (cifar10)
    validation_limit: Annotated[int, Ge(1)] | None = None
    # iid: alike for all workers; by_size: alike but not equally many; dirichlet: skewed mixtures of classes;
    # by_class: each worker its own classes
    shards: Literal["iid", "by_size", "dirichlet", "by_class"] = "iid"
    # relative sizes of the workers' shards (by_size), one for each: [1, 1, 3]
    shard_sizes: tuple[Annotated[float, Gt(0)], ...] = ()
    # concentration of the mixtures (dirichlet): the smaller, the more skewed
    dirichlet_alpha: Annotated[float, Gt(0)] = 0.5
    # images are cut out at random to so many pixels a side, 32 leaves them whole (cifar10)
    crop: Literal[24, 32] = 24
    # past values that the next one is told from (rail)
    window: Annotated[int, Ge(1)] = 100
    # the past values as a sequence of numbers, or as the features of one element of a sequence (rail)
    reading: Literal["sequence", "features"] = "sequence"

    def path(self, usual_name: str) -> Path:
        """Return the path of the data's file: the configured one, or that of the usual name in the data's folder."""
        return Path(self.file) if self.file else Path(self.dir, usual_name)
