"""Models: how parameters lie in one flat vector, where they start, their loss and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from adsp_mpi.errors import must
from adsp_mpi.models.base import Model
from adsp_mpi.models.cnn_digits import CnnDigits
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.linear import Softmax, Svm
from adsp_mpi.models.mlp import Mlp
from adsp_mpi.models.null import Null
from adsp_mpi.models.options import ModelOptions

__all__ = ["Layout", "Model", "ModelOptions", "create", "names"]

Factory = Callable[[ModelOptions, tuple[int, ...], int], Model]

_FACTORIES: dict[str, Factory] = {kind.name: kind for kind in (CnnDigits, Mlp, Null, Softmax, Svm)}


def names() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(_FACTORIES)


def create(options: ModelOptions, sample_shape: tuple[int, ...], n_classes: int) -> Model:
    """Return the model that `options` name, for samples and classes like these.

    Raises
    ------
    ConfigError
        If there is no such model, or it does not suit the samples.
    """
    factory = _FACTORIES[options.name] if options.name in _FACTORIES else _own_factory(options.name)
    model = factory(options, sample_shape, n_classes)
    if not isinstance(model, Model):
        raise must("model.name", f"a factory that returns a model, which {type(model).__name__} is not", options.name)
    return model


def _own_factory(name: str) -> Factory:
    """Return the factory that ``module.path:factory`` names."""
    module, colon, attribute = name.partition(":")
    if not colon:
        raise must("model.name", f"one of {', '.join(names())} or module.path:factory", name)
    try:
        factory: Factory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise must("model.name", f"module.path:factory of something that can be imported ({exc})", name) from exc
    if not callable(factory):
        raise must("model.name", "module.path:factory of something that can be called", name)
    return factory
