"""The table of families, and what a builder does with tensors of any shape, name and settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from directions import CheckpointError, LatdirError, UnknownNameError, load_generator
from directions.generators.checkpoints import load
from directions.generators.checkpoints.families import Family, Options, parse_options
from directions.weight_files.contents import Contents
from tests.directions.generators.checkpoints import written
from tests.waves import LAYERS, SMALL, biggan_state, stylegan3_state

State = dict[str, Tensor]
SHAPES = ((), (1,), (7,), (2, 3), (2, 3, 4), (3, 3, 3, 3), (1, 1, 4, 4), (2, 2, 2, 2, 2), (0,))


def _genforce_stylegan1() -> State:
    state = {"synthesis.layer0.const": torch.rand(1, 4, 4, 4), "truncation.w_avg": torch.rand(5)}
    state |= {"mapping.dense0.weight": torch.rand(5, 6), "mapping.dense0.bias": torch.rand(5)}
    for i in range(4):
        name = f"synthesis.layer{i}"
        state |= {f"{name}.bias": torch.rand(4), f"{name}.style.bias": torch.rand(8)}
        state |= {f"{name}.style.weight": torch.rand(8, 5)}
        state |= {f"{name}.apply_noise.noise": torch.rand(1, 1, 4 << i // 2, 4 << i // 2)}
        state |= {f"{name}.apply_noise.weight": torch.rand(4)}
        state |= {f"{name}.weight": torch.rand(4, 4, 3, 3)} if i else {}
    for k in range(2):
        state |= {f"synthesis.output{k}.weight": torch.rand(3, 4, 1, 1)}
        state |= {f"synthesis.output{k}.bias": torch.rand(3)}
    return state


def _genforce_progan() -> State:
    state = {"layer0.weight": torch.rand(4, 6, 4, 4), "lod": torch.tensor(0.0)}
    for i in range(4):
        state |= {f"layer{i}.bias": torch.rand(4)}
        state |= {f"layer{i}.weight": torch.rand(4, 4, 3, 3)} if i else {}
    for k in range(2):
        state |= {f"output{k}.weight": torch.rand(3, 4, 1, 1), f"output{k}.bias": torch.rand(3)}
    return state


def _tensorflow_stylegan2() -> State:
    network = written.tensorflow_stylegan2(written.stylegan2_state(**SIZES))
    return {k: torch.tensor(np.array(v)) for k, v in _variables(network)}


def _variables(network: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in network.variables:
        yield prefix + name, value
    for name, part in network.components.items():
        yield from _variables(part, f"{prefix}{name}/")


SIZES: dict[str, Any] = {"channels": (4, 4), "z_dim": 5, "w_dim": 5, "hidden": 5}
FILES: dict[str, tuple[Callable[[], State], dict[str, Any]]] = {
    "StyleGAN2, NVIDIA": (lambda: written.stylegan2_state(**SIZES), {}),
    "StyleGAN2, conditional": (
        lambda: written.stylegan2_state(**SIZES, architecture="resnet", c_dim=3),
        {},
    ),
    "StyleGAN2, rosinality": (
        lambda: written.rosinality_state(written.stylegan2_state(**SIZES)),
        {},
    ),
    "StyleGAN2, TensorFlow": (_tensorflow_stylegan2, {}),
    "StyleGAN3": (lambda: stylegan3_state(c_dim=3), {"init_kwargs": SMALL}),
    "StyleGAN": (_genforce_stylegan1, {}),
    "PGGAN": (_genforce_progan, {}),
    "BigGAN": (biggan_state, {"config": {"layers": LAYERS}}),
}


def _family(title: str) -> Family:
    return next(f for f in load.FAMILIES if f.title == title.partition(",")[0])


def test_every_family_names_real_options_and_arguments_of_its_builder() -> None:
    known = {option.name for option in fields(Options)}
    for family in load.FAMILIES:
        assert set(family.options) <= known
        assert {"name", *family.options} <= set(inspect.signature(family.build).parameters)
    assert known == {name for family in load.FAMILIES for name in family.options}


@pytest.mark.parametrize("title", FILES)
def test_a_tensor_of_any_shape_is_refused_or_fits(title: str) -> None:
    made, settings = FILES[title]
    state, build = made(), _family(title).build
    build(state, name="whole", **settings)
    # Many tensors are of one kind: about thirty show each.
    chosen, refused = dict(list(state.items())[:: 1 + len(state) // 30]), 0
    for key, value in chosen.items():
        others = [torch.ones(shape) for shape in SHAPES] + [value[None], value.reshape(-1)]
        states = [{**state, key: other} for other in others]
        rest = {k: v for k, v in state.items() if k != key}
        for damaged in (*states, rest, {**rest, f"{key}x": value}):
            try:
                build(damaged, name="damaged", **settings)
            except LatdirError:
                refused += 1
            except TypeCheckError:
                # Shapes in annotations are enforced under pytest only, and say the same.
                refused += 1
    assert refused > 6 * len(chosen)


@pytest.mark.parametrize("error", [RuntimeError, TypeError, AttributeError, KeyError, IndexError])
@pytest.mark.parametrize("part", ["build", "settings"])
def test_a_defect_of_a_family_is_raised_as_it_is(
    part: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defective(*arguments: Any, **settings: Any) -> Any:
        raise error("a defect of ours")

    path = written.nvidia_file(written.nvidia_module(written.stylegan2_state()), tmp_path / "a.pkl")
    planted = tuple(replace(family, **{part: defective}) for family in load.FAMILIES)
    monkeypatch.setattr(load, "FAMILIES", planted)
    with pytest.raises(error, match="a defect of ours") as met:
        load_generator(path)
    assert type(met.value) is error


def test_a_defect_of_a_network_is_raised_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from directions.generators.stylegan.stylegan2 import StyleGAN2

    def defective(*arguments: Any) -> Any:
        raise AttributeError("a defect of ours")

    path = written.nvidia_file(written.nvidia_module(written.stylegan2_state()), tmp_path / "a.pkl")
    monkeypatch.setattr(StyleGAN2, "module_path", defective)
    with pytest.raises(AttributeError, match="a defect of ours"):
        load_generator(path)


def test_an_option_is_taken_by_name_or_from_the_path_and_refused_where_there_is_none(
    tmp_path: Path,
) -> None:
    state = written.stylegan2_state(c_dim=4)
    path = written.nvidia_file(written.nvidia_module(state), tmp_path / "a.pkl")
    by_name = load_generator(path, label=3, noise="none", conv_clamp=2.0)
    in_path = load_generator(f"{path}?label=3&noise=none&conv_clamp=2")
    assert by_name.fingerprint == in_path.fingerprint
    codes = by_name.sample(1, seed=0)
    assert torch.equal(by_name.synthesize(codes), in_path.synthesize(codes))
    assert load_generator(f"{path}?label=3", label=1).fingerprint != by_name.fingerprint
    with pytest.raises(
        UnknownNameError, match="no option 'lable' of a checkpoint: there are label"
    ):
        load_generator(path, lable=3)
    with pytest.raises(UnknownNameError, match="no option 'lable' of a checkpoint"):
        parse_options("network.pkl?lable=3")
    with pytest.raises(
        CheckpointError, match=r"\(StyleGAN2\) cannot be loaded: .*no option 'truncation'"
    ):
        load_generator(path, truncation=0.5)
    with pytest.raises(CheckpointError, match="the option fused_scale cannot be 'maybe'"):
        parse_options("network.pkl?fused_scale=maybe")
    with pytest.raises(CheckpointError, match="lr_multiplier is 0"):
        load_generator(path, lr_multiplier=0)
    with pytest.raises(LatdirError, match="is not a checkpoint file, and only those take label="):
        load_generator("planted", label=3)


@pytest.mark.parametrize(
    ("title", "writer", "arguments", "message"),
    [
        ("StyleGAN2", "NVIDIA", {"conv_clamp": "high"}, "its conv_clamp is high, not a positive"),
        ("StyleGAN2", "NVIDIA", {"mapping_kwargs": {"activation": "elu"}}, "activation is elu"),
        ("StyleGAN2", "TensorFlow", {"resample_kernel": 3}, "resample_kernel is not a list"),
        ("StyleGAN2", "TensorFlow", {"mapping_lrmul": None}, "its mapping_lrmul is None"),
        ("StyleGAN", "TensorFlow", {"use_pixel_norm": True}, "both by pixel and by instance"),
        ("PGGAN", "TensorFlow", {"label_size": [3]}, r"its label_size is \[3\], not a number"),
        ("PGGAN", "TensorFlow", {"use_leakyrelu": False}, "use_leakyrelu=False"),
    ],
)
def test_settings_of_any_kind_are_checked(
    title: str, writer: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        _family(title).settings(Contents({}, writer, arguments))


@pytest.mark.parametrize(
    "change",
    [
        {"conv_clamp": "high"},
        {"mapping_kwargs": {"lr_multiplier": "fast"}},
        {"margin_size": None},
        {"first_cutoff": 1e-320},
        {"last_stopband_rel": float("nan")},
        {"num_critical": 99},
    ],
)
def test_arguments_of_a_stylegan3_are_checked(change: dict[str, Any]) -> None:
    with pytest.raises(LatdirError):
        _family("StyleGAN3").build(stylegan3_state(), name="x", init_kwargs={**SMALL, **change})
