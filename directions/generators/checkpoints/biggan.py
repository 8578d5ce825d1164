"""State dicts of pytorch-pretrained-biggan as the canonical BigGAN-deep network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from directions.errors import CheckpointError
from directions.generators.biggan import Attention, BigGANDeep, BigGANGenerator, Block, Norm
from directions.generators.checkpoints.families import Family
from directions.generators.checkpoints.settings import number
from directions.generators.checkpoints.state_dict import Weights, floats
from directions.weight_files.contents import Contents

__all__ = ["FAMILY", "biggan_from_state"]

TITLE = "BigGAN-deep"
EPS = 1e-4
# The published generators of 128, 256 and 512 pixels double the side in every second block.
PUBLISHED_BLOCKS = (10, 12, 14)


def biggan_from_state(
    state: Mapping[str, Tensor],
    *,
    name: str,
    config: Mapping[str, Any] | None = None,
    label: int | None = None,
    truncation: float = 0.4,
) -> BigGANGenerator:
    """A BigGAN-deep generator from pytorch-pretrained-biggan's state dict.

    Args:
        state: `embeddings.weight`, `generator.gen_z.*`, `generator.layers.{i}.*`, ….
        name: Short name, shown and stored.
        config: The project's `config.json`. Its `layers` say which blocks double the resolution
            and its `eps` is added to variances; the rest follows from the shapes. Not needed for
            the published models.
        label: The class all images belong to; None leaves it to codes of `w`.
        truncation: Of the noise and of the batch-norm statistics.

    Returns:
        The generator in float32 on the CPU.

    Raises:
        LatdirError: A key missing or left over, named; a tensor of another shape; resolutions
            that do not follow; a class it does not have; a truncation outside 0 … 1.
    """
    left = Weights(floats(state), family=TITLE)
    config = config or {}
    eps = number(config.get("eps", EPS), "eps")
    found = {int(m[1]) for k in left if (m := re.match(r"generator\.layers\.(\d+)\.", k))}
    if not found or found != set(range(len(found))):
        raise CheckpointError(
            "these keys are of no BigGAN-deep, which has generator.layers.0 and on without a gap "
            f"(the first is {next(iter(state), 'missing')!r})"
        )
    prefixes = [f"generator.layers.{i}" for i in range(len(found))]
    attention = [f"{p}.gamma" in left for p in prefixes]
    ups = iter(_ups(config.get("layers"), attention.count(False)))
    last, rgb = "generator.bn", "generator.conv_to_rgb"
    first = _linear(left, "generator.gen_z")
    layers = [
        _attention(left, p) if attends else _block(left, p, up=next(ups), eps=eps)
        for p, attends in zip(prefixes, attention, strict=True)
    ]
    network = BigGANDeep(
        embeddings=left.take("embeddings.weight", 2),
        first=first,
        layers=layers,
        last_means=left.take(f"{last}.running_means", 2),
        last_variances=left.take(f"{last}.running_vars", 2),
        last_scale=left.take(f"{last}.weight", 1),
        last_offset=left.take(f"{last}.bias", 1),
        # The original computes all its channels and drops all but three.
        to_rgb=_convolution(_weight(left, rgb, 4)[:3], left.take(f"{rgb}.bias", 1)[:3]),
        eps=eps,
    )
    left.check_all_taken()
    if "output_dim" in config and config["output_dim"] != network.resolution:
        raise CheckpointError(
            f"the layers make images of side {network.resolution}, but the config says "
            f"{config['output_dim']}: check which blocks of its 'layers' begin with true"
        )
    return BigGANGenerator(network, name=name, label=label, truncation=truncation)


def _settings(contents: Contents) -> dict[str, Any]:
    told = contents.arguments.get("layers") is not None
    return {"config": contents.arguments if told else None}


FAMILY = Family(
    title="BigGAN",
    keys=("generator.gen_z.weight_orig", "generator.gen_z.weight"),
    options=("label", "truncation"),
    settings=_settings,
    build=biggan_from_state,
)


def _ups(layers: Sequence[Sequence[Any]] | None, blocks: int) -> list[bool]:
    """Indices of the blocks that double the resolution."""
    if layers is None and blocks in PUBLISHED_BLOCKS:
        return [i % 2 == 1 for i in range(blocks)]
    listed = isinstance(layers, list | tuple) and all(
        isinstance(layer, list | tuple) and layer for layer in layers
    )
    if layers is None or not listed or len(layers) != blocks:
        raise CheckpointError(
            f"which of its {blocks} blocks double the resolution is not determined by the weights: "
            "pass the file stored with them, "
            "config=json.loads(Path('config.json').read_text()), with one entry a block"
        )
    return [bool(layer[0]) for layer in layers]


def _weight(left: Weights, key: str, axes: int) -> Tensor:
    """A weight divided by its spectral norm, as its stored vectors estimate it."""
    if f"{key}.weight" in left:
        return left.take(f"{key}.weight", axes)
    weight = left.take(f"{key}.weight_orig", axes)
    u, v = left.take(f"{key}.weight_u", 1), left.take(f"{key}.weight_v", 1)
    if (len(u), len(v)) != (len(weight), weight[0].numel()):
        raise CheckpointError(
            f"{key} has shape {list(weight.shape)}, but singular vectors of {len(u)} and {len(v)}"
        )
    return weight / torch.dot(u, weight.flatten(1) @ v)


def _linear(left: Weights, key: str) -> nn.Linear:
    weight = _weight(left, key, 2)
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight = nn.Parameter(weight)
    linear.bias = nn.Parameter(left.take(f"{key}.bias", 1))
    return linear


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    made = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, device="meta")
    made.weight = nn.Parameter(weight.clone())
    made.bias = nn.Parameter(bias.clone())
    return made


def _block(left: Weights, key: str, *, up: bool, eps: float) -> Block:
    norms = [
        Norm(
            means=left.take(f"{key}.bn_{i}.running_means", 2),
            variances=left.take(f"{key}.bn_{i}.running_vars", 2),
            scale=_weight(left, f"{key}.bn_{i}.scale", 2),
            offset=_weight(left, f"{key}.bn_{i}.offset", 2),
            eps=eps,
        )
        for i in range(4)
    ]
    convolutions = [
        _convolution(_weight(left, f"{key}.conv_{i}", 4), left.take(f"{key}.conv_{i}.bias", 1))
        for i in range(4)
    ]
    return Block(norms=norms, convolutions=convolutions, up=up)


def _attention(left: Weights, key: str) -> Attention:
    return Attention(
        query=_weight(left, f"{key}.snconv1x1_theta", 4),
        key=_weight(left, f"{key}.snconv1x1_phi", 4),
        value=_weight(left, f"{key}.snconv1x1_g", 4),
        out=_weight(left, f"{key}.snconv1x1_o_conv", 4),
        gamma=left.take(f"{key}.gamma"),
    )
