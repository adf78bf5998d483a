"""Which parameters are trained, at which rate: those far from the head more slowly (Clark et al. 2020, section 3.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hilum.tasks.finetune_recipe import Finetune

# The numbered layers of the towers: ViT and Swin, ResNet, DenseNet, CLIP.
_LAYER = re.compile(r"(?:^|\.)(?:blocks|resblocks|layers|layer|stages|denseblock|transition)\.?(\d+)(?:\.|$)")
_STEM = re.compile(r"(?:^|\.)(?:patch_embed|stem)\.")
_LAST = re.compile(r"(?:^|\.)(?:proj|projection|\w*_projection|head|fc)(?:\.|$)")


def used_parameters(network: nn.Module, try_out: Callable[[], Tensor]) -> dict[str, nn.Parameter]:
    """The parameters that a loss depends on, by name: a text tower's, for example, are not among them.

    Args:
        network: in whatever mode; its statistics are not touched.
        try_out: a loss of a few examples.
    """
    was_training = network.training
    network.eval()
    network.zero_grad(set_to_none=True)
    try_out().backward()
    used = {name: one for name, one in network.named_parameters() if one.grad is not None}
    network.zero_grad(set_to_none=True)
    network.train(was_training)
    return used


def depths(names: Sequence[str]) -> dict[str, int]:
    """How far each parameter of an image encoder lies from the input: 0 for the stem, then layer by layer.

    Example:
        >>> depths(["conv1.weight", "layer1.0.conv1.weight", "layer2.0.bn1.bias", "norm.weight"])
        {'conv1.weight': 0, 'layer1.0.conv1.weight': 1, 'layer2.0.bn1.bias': 2, 'norm.weight': 3}
    """
    numbers = {name: int(found[1]) for name in names if (found := _LAYER.search(name))}
    order = {number: place for place, number in enumerate(sorted(set(numbers.values())), start=1)}
    last, found_layer, result = len(order) + 1, False, {}
    for name in names:
        if name in numbers:
            found_layer, result[name] = True, order[numbers[name]]
        else:
            is_last = found_layer or (_LAST.search(name) and not _STEM.search(name))
            result[name] = last if is_last else 0
    return result


def make_optimizer(
    recipe: Finetune, encoder: dict[str, nn.Parameter], head: dict[str, nn.Parameter]
) -> torch.optim.Optimizer:
    """The recipe's optimizer; each group keeps its share of the rate as `share`. Biases and norms are not decayed."""
    depth = depths(list(encoder))
    deepest = max(depth.values(), default=0)
    shares = {name: recipe.layer_decay ** (deepest + 1 - depth[name]) for name in encoder} | dict.fromkeys(head, 1.0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in (encoder | head).items():
        decay = recipe.weight_decay if parameter.ndim >= 2 or recipe.decay_all else 0.0
        groups.setdefault((shares[name], decay), []).append(parameter)
    described = [{"params": found, "weight_decay": decay, "share": share} for (share, decay), found in groups.items()]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(described, lr=recipe.learning_rate, momentum=recipe.momentum)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(described, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.eps)
