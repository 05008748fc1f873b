"""The model's section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

# found on the bundled digits at the default batch size, one worker
DEFAULT_LEARNING_RATES = {"cnn-digits": 0.1, "mlp": 0.2, "softmax": 0.5, "svm": 0.1}
OTHERWISE = 0.1


@dataclass(frozen=True)
class ModelOptions:
    """Which model is trained, and how a worker steps."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # one of models.names(), or module.path:factory
    name: str = "cnn-digits"
    # local learning rate η′ of the first steps; none: what suits the model, see DEFAULT_LEARNING_RATES
    learning_rate: Annotated[float, Gt(0)] | None = None
    # samples per step and worker
    batch_size: Annotated[int, Ge(1)] = 32
    # coefficient of half the squared norm of the weights (biases are left out)
    weight_decay: Annotated[float, Ge(0)] = 0.0
    # the local learning rate is multiplied by this ...
    decay_factor: Annotated[float, Gt(0), Le(1)] = 1.0
    # ... every so many steps of a worker
    decay_steps: Annotated[int, Ge(1)] = 1000
    # hidden units (mlp)
    hidden: Annotated[int, Ge(1)] = 64
    # number of parameters (null)
    parameters: Annotated[int, Ge(1)] = 1_000_000
    # of the parameters, the samples and all arithmetic on them
    dtype: Literal["float32", "float64"] = "float32"

    def learning_rate_at(self, step: int) -> float:
        """Return the local learning rate η′ of a worker's step number `step`."""
        start = self.learning_rate or DEFAULT_LEARNING_RATES.get(self.name, OTHERWISE)
        return start * self.decay_factor ** (step // self.decay_steps)
