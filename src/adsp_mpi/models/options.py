"""The model's section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

SUITABLE: Any = None
"""The default of a field that DEFAULTS fills in by the model's name."""

OTHERWISE = {
    "learning_rate": 0.1,
    "batch_size": 32,
    "weight_decay": 0.0,
    "decay_factor": 1.0,
    "decay_steps": 1000,
    "hidden": 64,
}
# The learning rates of the models for the digits were found on them, one worker. The others are the ADSP authors' own.
DEFAULTS: dict[str, dict[str, float]] = {
    # a tenth of the learning rate every 350 epochs of 50,000 images
    "cnn-cifar": {"batch_size": 128, "weight_decay": 0.004, "decay_factor": 0.1, "decay_steps": 136_718},
    "lstm-rail": {"learning_rate": 0.01, "batch_size": 128, "decay_factor": 0.9, "hidden": 128},
    "mlp": {"learning_rate": 0.2},
    "softmax": {"learning_rate": 0.5},
    "svm-chiller": {"learning_rate": 0.001, "batch_size": 64},
}


@dataclass(frozen=True)
class ModelOptions:
    """Which model is trained, and how a worker steps. What is left out becomes what suits the model: see DEFAULTS."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # one of models.names(), or module.path:factory
    name: str = "cnn-digits"
    # local learning rate η′ of the first steps
    learning_rate: Annotated[float, Gt(0)] = SUITABLE
    # samples per step and worker
    batch_size: Annotated[int, Ge(1)] = SUITABLE
    # coefficient of half the squared norm of the weights (biases are left out)
    weight_decay: Annotated[float, Ge(0)] = SUITABLE
    # the local learning rate is multiplied by this ...
    decay_factor: Annotated[float, Gt(0), Le(1)] = SUITABLE
    # ... every so many steps of a worker
    decay_steps: Annotated[int, Ge(1)] = SUITABLE
    # hidden units (mlp, lstm-rail)
    hidden: Annotated[int, Ge(1)] = SUITABLE
    # number of parameters (null)
    parameters: Annotated[int, Ge(1)] = 1_000_000
    # a checkpoint whose parameters are the first ones; empty for the model's own
    start_from: str = ""
    # index of every worker's first step: it decides batches and learning rate
    start_step: Annotated[int, Ge(0)] = 0
    # of the parameters, the samples and all arithmetic on them
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        suitable = OTHERWISE | DEFAULTS.get(self.name, {})
        for field in fields(self):
            if getattr(self, field.name) is SUITABLE:
                object.__setattr__(self, field.name, suitable[field.name])

    def learning_rate_at(self, step: int) -> float:
        """Return the local learning rate η′ of a worker's step number `step`."""
        return self.learning_rate * self.decay_factor ** (step // self.decay_steps)
