"""State dicts of NVIDIA's StyleGAN3 as the canonical network.

Widths, kernels, filters, layers and classes follow from the shapes. The rest comes
from the constructor's pickled arguments, where they are known, and otherwise from the
repository's defaults; the sizes in the layers' names must then follow from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from directions.errors import CheckpointError
from directions.generators.checkpoints.families import Family
from directions.generators.checkpoints.settings import bound, mapping, number
from directions.generators.checkpoints.state_dict import Weights, floats
from directions.generators.stylegan.filtered_lrelu import separable
from directions.generators.stylegan.stylegan3 import (
    ExactLinear,
    FilteredLayer,
    FourierInput,
    StyleGAN3,
    StyleGAN3Generator,
)
from directions.generators.stylegan.stylegan3_schedule import LayerRates, StyleGAN3Config, schedule
from directions.weight_files.contents import Contents

__all__ = ["FAMILY", "stylegan3_from_state"]

TITLE = "StyleGAN3"
LR_MULTIPLIER = 0.01
# Constructor arguments that the weights do not determine; others follow from shapes, steer
# training, or choose half precision.
KWARGS: dict[str, tuple[str, type[int] | type[float]]] = {
    "num_critical": ("num_critical", int),
    "first_cutoff": ("first_cutoff", float),
    "first_stopband": ("first_stopband", float),
    "last_stopband_rel": ("last_stopband_rel", float),
    "margin_size": ("margin_size", int),
    "lrelu_upsampling": ("oversampling", int),
    "conv_clamp": ("conv_clamp", float),
    "output_scale": ("output_scale", float),
}


def _settings(contents: Contents) -> dict[str, Any]:
    return {"init_kwargs": contents.arguments}


def stylegan3_from_state(
    state: Mapping[str, Tensor],
    *,
    name: str,
    init_kwargs: Mapping[str, Any] | None = None,
    label: int | None = None,
    conv_clamp: float | None = None,
    lr_multiplier: float | None = None,
) -> StyleGAN3Generator:
    """A StyleGAN3 generator, T or R, from NVIDIA's state dict.

    Args:
        state: `mapping.*`, `synthesis.input.*`, `synthesis.L{i}_{size}_{channels}.*`.
        name: Short name, shown and stored.
        init_kwargs: The arguments the network was made with, as its checkpoint has them; those
            missing mean the defaults of the StyleGAN3 repository.
        label: For conditional networks, the class all images belong to.
        conv_clamp: In place of the arguments' bound on activations; infinity for none.
        lr_multiplier: In place of the arguments' multiplier of the mapping.

    Returns:
        The generator in float32 on the CPU.

    Raises:
        CheckpointError: A key missing or left over, named, a tensor of another shape, or layer
            sizes that do not follow from the arguments.
    """
    left = Weights(floats(state), family=TITLE)
    kwargs = _flat(init_kwargs or {})
    if conv_clamp is not None:
        kwargs["conv_clamp"] = conv_clamp
    told = mapping(kwargs.get("mapping_kwargs")).get("lr_multiplier", LR_MULTIPLIER)
    gain = number(told if lr_multiplier is None else lr_multiplier, "lr_multiplier")
    names = _layer_names(left)
    config = _config(names, kwargs)
    rates = dict(zip(names, schedule(config), strict=True))
    _check_sizes(rates)

    depth = len([k for k in left if re.fullmatch(r"mapping\.fc\d+\.weight", k)])
    left.need("mapping.fc0.weight")
    dense = [_linear(left, f"mapping.fc{i}", gain=gain) for i in range(depth)]
    conditional = "mapping.embed.weight" in left
    first = rates[names[0]]
    w_dim = dense[-1].out_features
    w_avg = left.take("mapping.w_avg", 1) if "mapping.w_avg" in left else torch.zeros(w_dim)
    network = StyleGAN3(
        config,
        dense=dense,
        embed=_linear(left, "mapping.embed") if conditional else None,
        # A network that never tracked the mean is truncated toward zero, as its project does.
        w_avg=w_avg,
        waves=_input(left, first),
        layers={k: _layer(left, k, r, config, last=k == names[-1]) for k, r in rates.items()},
    )
    left.check_all_taken()
    return StyleGAN3Generator(network, name=name, label=label)


FAMILY = Family(
    title=TITLE,
    keys=("synthesis.input.freqs",),
    options=("label", "conv_clamp", "lr_multiplier"),
    settings=_settings,
    build=stylegan3_from_state,
)


def _linear(left: Weights, key: str, *, gain: float = 1.0) -> nn.Linear:
    """An equalized dense layer, its constants folded in."""
    weight, bias = left.take(f"{key}.weight", 2), left.take(f"{key}.bias", 1)
    if len(weight) != len(bias):
        raise CheckpointError(f"{key} has weights for {len(weight)} outputs and {len(bias)} biases")
    return ExactLinear(weight * (gain / math.sqrt(weight.shape[1])), bias * gain)


def _flat(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with those of the synthesis moved up from a nested dict."""
    return {**kwargs, **mapping(kwargs.get("synthesis_kwargs"))}


def _layer_names(left: Weights) -> list[str]:
    found = {m[1] for k in left if (m := re.match(r"synthesis\.(L\d{1,3}_\d{1,5}_\d{1,5})\.", k))}
    names = sorted(found, key=_index)
    if [_index(n) for n in names] != list(range(len(names))) or len(names) < 3:
        raise CheckpointError(
            "these keys are of no StyleGAN3, which has layers synthesis.L0_…, L1_…, … without a "
            f"gap: there are {', '.join(names) or 'none'}"
        )
    return names


def _index(name: str) -> int:
    return int(name[1:].split("_")[0])


def _config(names: list[str], kwargs: Mapping[str, Any]) -> StyleGAN3Config:
    resolution = int(names[-1].split("_")[1])
    given: dict[str, Any] = {
        field: bound(kwargs[key])
        if key == "conv_clamp"
        else kind(number(kwargs[key], key, positive=kind is float))
        for key, (field, kind) in KWARGS.items()
        if key in kwargs
    }
    return StyleGAN3Config(resolution=resolution, num_layers=len(names) - 1, **given)


def _check_sizes(rates: Mapping[str, LayerRates]) -> None:
    for name, layer in rates.items():
        if layer.out_size != int(name.split("_")[1]):
            raise CheckpointError(
                f"layer {name} would have side {layer.out_size} by the arguments given: pass "
                "the network's arguments, such as "
                "init_kwargs={'margin_size': …, 'first_cutoff': …, 'num_critical': …}"
            )


def _input(left: Weights, layer: LayerRates) -> FourierInput:
    key = "synthesis.input"
    weight = left.take(f"{key}.weight", 2)
    return FourierInput(
        affine=_linear(left, f"{key}.affine"),
        weight=weight / math.sqrt(weight.shape[1]),
        freqs=left.take(f"{key}.freqs", 2),
        phases=left.take(f"{key}.phases", 1),
        transform=left.pop(f"{key}.transform", torch.eye(3)),
        layer=layer,
    )


def _layer(
    left: Weights, name: str, rates: LayerRates, config: StyleGAN3Config, *, last: bool
) -> FilteredLayer:
    key = f"synthesis.{name}"
    weight = left.take(f"{key}.weight", 4)
    power = weight.square().mean((1, 2, 3), keepdim=True)
    scale = torch.tensor(1 / math.sqrt(weight[0].numel())) if last else power.rsqrt()
    columns, rows = separable(_filter(left, f"{key}.down_filter", rates.down, 1, 2))
    return FilteredLayer(
        affine=_linear(left, f"{key}.affine"),
        weight=weight * scale,
        bias=left.take(f"{key}.bias", 1),
        input_gain=left.take(f"{key}.magnitude_ema", 0).rsqrt(),
        up_taps=_filter(left, f"{key}.up_filter", rates.up, 1),
        down_columns=columns,
        down_rows=rows,
        rates=rates,
        clamp=config.conv_clamp,
        last=last,
    )


def _filter(left: Weights, key: str, factor: int, *axes: int) -> Tensor:
    """A filter, which is stored only where the sampling rate changes."""
    if key in left or factor > 1:
        return left.take(key, *axes)
    return torch.ones(1)
