"""Models: how parameters lie in one flat vector, where they start, their loss and its gradient."""

from __future__ import annotations

from collections.abc import Callable

from adsp_mpi.errors import must
from adsp_mpi.models.base import Model
from adsp_mpi.models.cnn_cifar_fast import choose_cnn_cifar
from adsp_mpi.models.cnn_digits import CnnDigits
from adsp_mpi.models.layout import Layout
from adsp_mpi.models.linear import Softmax, Svm, SvmChiller
from adsp_mpi.models.lstm_rail import LstmRail
from adsp_mpi.models.mlp import Mlp
from adsp_mpi.models.null import Null
from adsp_mpi.models.options import ModelOptions
from adsp_mpi.plugins import own_factory

__all__ = ["Layout", "Model", "ModelOptions", "create", "names"]

Factory = Callable[[ModelOptions, tuple[int, ...], int], Model]

_FACTORIES: dict[str, Factory] = {
    kind.name: kind for kind in (CnnDigits, LstmRail, Mlp, Null, Softmax, Svm, SvmChiller)
}
_FACTORIES["cnn-cifar"] = choose_cnn_cifar


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
    factory = _FACTORIES.get(options.name) or own_factory("model.name", options.name, names())
    model = factory(options, sample_shape, n_classes)
    if not isinstance(model, Model):
        raise must("model.name", f"a factory that returns a model, which {type(model).__name__} is not", options.name)
    return model
