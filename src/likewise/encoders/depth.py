"""The layers of a transformer: where they are, what each of them says, and a transformer without the upper ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from likewise.errors import InputError

__all__ = ["LayerOutputs", "keep_layers", "layers_of", "watched_layers", "with_layers"]


def layers_of(module: nn.Module) -> tuple[str, nn.ModuleList]:
    """Find the list of transformer layers: the module list as long as the configuration says.

    Args:
        module: The first module of a sentence-transformers model.

    Returns:
        Where the list is in the module, with dots, and the list.

    Raises:
        InputError: There is none (no transformer, or one that runs a layer several times).
    """
    model = getattr(module, "auto_model", None)
    count: int | None = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    if isinstance(model, nn.Module) and count is not None:
        for path, part in module.named_modules():
            if isinstance(part, nn.ModuleList) and len(part) == count:
                return path, part
    raise InputError("this encoder has no list of transformer layers; use one that has, or leave its depth as it is.")


def keep_layers(module: nn.Module, count: int) -> None:
    """Take all layers but the first ones out of a transformer, in place.

    Args:
        module: The first module of a sentence-transformers model.
        count: How many layers stay, >= 1 and at most as many as there are.

    Raises:
        InputError: There is no list of layers.
    """
    path, layers = layers_of(module)
    parent, _, name = path.rpartition(".")
    config = _model(module).config
    if len(getattr(config, "layer_types", None) or ()) == len(layers):
        config.layer_types = config.layer_types[:count]
    config.num_hidden_layers = count
    setattr(module.get_submodule(parent), name, layers[:count])


def with_layers(module: nn.Module, count: int) -> nn.Module:
    """Return the module with the first layers of its transformer alone; the one that is given stays as it is.

    All weights are shared, and so are the settings by which a layer attends.

    Args:
        module: The first module of a sentence-transformers model.
        count: How many layers stay, >= 1 and at most as many as there are.

    Raises:
        InputError: There is no list of layers.
    """
    path, _ = layers_of(module)
    whole = _model(module)
    # What is on the way to the list is copied, and what is in it is not.
    top: nn.Module = _shallow(module)
    parent: Any = top
    for name in path.split(".")[:-1]:
        parent._modules[name] = _shallow(parent._modules[name])
        parent = parent._modules[name]
    _model(top).config = copy.deepcopy(whole.config)
    keep_layers(top, count)
    return top


def _model(module: nn.Module) -> Any:
    return module.auto_model


def _shallow(module: Any) -> Any:
    """Copy a module, but not what is in it."""
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied


class LayerOutputs:
    """What the layers of a transformer said in one pass; see :func:`watched_layers`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._said: dict[int, Tensor] = {}
        self._after: list[tuple[nn.Module, Tensor]] = []

    def at(self, layer: int, last: Tensor) -> Tensor:
        """Return the vectors of all tokens as a transformer of so many layers would return them.

        Args:
            layer: Layers that have been run; 0: none, the vectors that go into the first one.
            last: What the transformer returned, after all layers. Where it is not what the last layer said but a norm
                of that (pre-norm transformers), that norm is applied to every layer.

        Raises:
            InputError: Something else than a norm follows the last layer.
        """
        if layer == self._count:
            return last
        said, top = self._said[layer], self._said[self._count]
        if _same(last, top):
            return said
        for module, output in reversed(self._after):
            if _same(last, output):
                normed: Tensor = module(said)
                return normed
        raise InputError(
            "this encoder does something of its own behind its last layer, so its other layers have no output that "
            "could be used; use an encoder of the usual build (BERT, RoBERTa, MPNet, ModernBERT)."
        )


@contextmanager
def watched_layers(module: nn.Module, wanted: Sequence[int]) -> Iterator[LayerOutputs]:
    """Take down what some layers say while a transformer is run, once, in this block; nothing is computed twice.

    Args:
        module: The first module of a sentence-transformers model.
        wanted: How many layers have been run, each in ``[0, N]``.

    Raises:
        InputError: There is no list of layers, or a number lies outside.
    """
    path, layers = layers_of(module)
    for layer in wanted:
        if not 0 <= layer <= len(layers):
            raise InputError(f"the encoder has {len(layers)} layers, so there is no output of layer {layer}.")
    found = LayerOutputs(len(layers))

    def keep(layer: int) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            found._said[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    def keep_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found._said[0] = args[0] if args else kwargs["hidden_states"]

    def follow(part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and args[0] is found._said.get(len(layers)) and isinstance(output, Tensor):
            found._after.append((part, output))

    with ExitStack() as hooks:
        if 0 in wanted:
            hooks.callback(layers[0].register_forward_pre_hook(keep_input, with_kwargs=True).remove)
        for layer in {*wanted, len(layers)} - {0}:
            hooks.callback(layers[layer - 1].register_forward_hook(keep(layer)).remove)
        for name, part in module.named_modules():
            on_the_way = not name or path == name or path.startswith(f"{name}.")
            if not on_the_way and not name.startswith(f"{path}."):
                hooks.callback(part.register_forward_hook(follow).remove)
        yield found


def _same(one: Tensor, other: Tensor) -> bool:
    return one is other or (one.shape == other.shape and torch.equal(one, other.to(one.dtype)))
