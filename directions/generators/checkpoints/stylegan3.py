"""State dicts of NVIDIA's StyleGAN3 as the canonical network.

What the shapes tell is read off them: widths, kernels, filters, layers, classes. The rest comes
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
from directions.generators.checkpoints.state_dict import Weights
from directions.generators.stylegan.filtered_lrelu import separable
from directions.generators.stylegan.stylegan3 import (
    ExactLinear,
    FilteredLayer,
    FourierInput,
    StyleGAN3,
    StyleGAN3Generator,
)
from directions.generators.stylegan.stylegan3_schedule import LayerRates, StyleGAN3Config, schedule

__all__ = ["stylegan3_from_state"]


LR_MULTIPLIER = 0.01
# Constructor arguments that decide what the weights do not; others follow from shapes, steer
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


def stylegan3_from_state(
    state: Mapping[str, Tensor],
    *,
    name: str,
    init_kwargs: Mapping[str, Any] | None = None,
    label: int | None = None,
) -> StyleGAN3Generator:
    """A StyleGAN3 generator, T or R, from NVIDIA's state dict.

    Args:
        state: `mapping.*`, `synthesis.input.*`, `synthesis.L{i}_{size}_{channels}.*`.
        name: Short name, shown and stored.
        init_kwargs: The arguments the network was made with, as its checkpoint has them; those
            missing mean the defaults of the StyleGAN3 repository.
        label: For conditional networks, the class all images belong to.

    Returns:
        The generator in float32 on the CPU.

    Raises:
        LatdirError: A key missing or left over, named, or layer sizes that do not follow from
            the arguments.
    """
    plain = {k: v.detach().to("cpu", torch.float32) for k, v in state.items()}
    left = Weights(plain, family="StyleGAN3")
    kwargs = _flat(init_kwargs or {})
    lr_multiplier = dict(kwargs.get("mapping_kwargs") or {}).get("lr_multiplier", LR_MULTIPLIER)
    names = _layer_names(left)
    config = _config(names, kwargs)
    rates = dict(zip(names, schedule(config), strict=True))
    _check_sizes(rates)

    depth = len([k for k in left if re.fullmatch(r"mapping\.fc\d+\.weight", k)])
    left.need("mapping.fc0.weight")
    dense = [_linear(left, f"mapping.fc{i}", gain=lr_multiplier) for i in range(depth)]
    conditional = "mapping.embed.weight" in left
    first = rates[names[0]]
    w_dim = dense[-1].out_features
    network = StyleGAN3(
        config,
        dense=dense,
        embed=_linear(left, "mapping.embed") if conditional else None,
        # A network that never tracked the mean is truncated towards zero, as its project does.
        w_avg=left.pop("mapping.w_avg", torch.zeros(w_dim)),
        waves=_input(left, first),
        layers={k: _layer(left, k, r, config, last=k == names[-1]) for k, r in rates.items()},
    )
    left.check_all_taken()
    return StyleGAN3Generator(network, name=name, label=label)


def _linear(left: Weights, key: str, *, gain: float = 1.0) -> nn.Linear:
    """An equalized dense layer, its constants folded in."""
    weight = left.take(f"{key}.weight")
    bias = left.take(f"{key}.bias")
    return ExactLinear(weight * (gain / math.sqrt(weight.shape[1])), bias * gain)


def _flat(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the synthesis may stand beside the others or in a dict of their own."""
    return {**kwargs, **dict(kwargs.get("synthesis_kwargs") or {})}


def _layer_names(left: Weights) -> list[str]:
    found = {m[1] for k in left if (m := re.match(r"synthesis\.(L\d+_\d+_\d+)\.", k))}
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
        field: None if key == "conv_clamp" and kwargs[key] is None else kind(kwargs[key])
        for key, (field, kind) in KWARGS.items()
        if key in kwargs
    }
    return StyleGAN3Config(resolution=resolution, num_layers=len(names) - 1, **given)


def _check_sizes(rates: Mapping[str, LayerRates]) -> None:
    for name, layer in rates.items():
        if layer.out_size != int(name.split("_")[1]):
            raise CheckpointError(
                f"layer {name} would have side {layer.out_size} by the arguments given: pass "
                "what the network was made with, such as "
                "init_kwargs={'margin_size': …, 'first_cutoff': …, 'num_critical': …}"
            )


def _input(left: Weights, layer: LayerRates) -> FourierInput:
    key = "synthesis.input"
    weight = left.take(f"{key}.weight")
    return FourierInput(
        affine=_linear(left, f"{key}.affine"),
        weight=weight / math.sqrt(weight.shape[1]),
        freqs=left.take(f"{key}.freqs"),
        phases=left.take(f"{key}.phases"),
        transform=left.pop(f"{key}.transform", torch.eye(3)),
        layer=layer,
    )


def _layer(
    left: Weights, name: str, rates: LayerRates, config: StyleGAN3Config, *, last: bool
) -> FilteredLayer:
    key = f"synthesis.{name}"
    weight = left.take(f"{key}.weight")
    power = weight.square().mean((1, 2, 3), keepdim=True)
    scale = torch.tensor(1 / math.sqrt(weight[0].numel())) if last else power.rsqrt()
    up_filter, down_filter = (
        _filter(left, f"{key}.{part}", factor)
        for part, factor in (("up_filter", rates.up), ("down_filter", rates.down))
    )
    columns, rows = separable(down_filter)
    return FilteredLayer(
        affine=_linear(left, f"{key}.affine"),
        weight=weight * scale,
        bias=left.take(f"{key}.bias"),
        input_gain=left.take(f"{key}.magnitude_ema").rsqrt(),
        up_taps=up_filter,
        down_columns=columns,
        down_rows=rows,
        rates=rates,
        clamp=config.conv_clamp,
        last=last,
    )


def _filter(left: Weights, key: str, factor: int) -> Tensor:
    """A filter, which is stored only where the sampling rate changes."""
    if key in left or factor > 1:
        return left.take(key)
    return torch.ones(1)
