"""Checkpoint files of every family, against the originals' images and their own weights."""

from __future__ import annotations

import argparse
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from directions import load_generator
from directions.generators.checkpoints import stylegan2
from directions.generators.checkpoints.stylegan2 import stylegan2_from_state
from directions.generators.stylegan.generator import StyleGenerator
from tests.directions.generators.checkpoints import written
from tests.directions.generators.stylegan.original_stylegan2 import Original
from tests.parity import agree, fixture

FILES = {
    "sg2ada_skip64_map8": "network-snapshot.pkl",
    "sg2ada_cond10": "network-snapshot.pkl",
    "sg3_t64": "network-snapshot.pkl",
    "ros_narrow64_converted": "checkpoint.pt",
    "gf_stylegan2_64": "gf_stylegan2_64.pth",
    "gf_stylegan1_64": "gf_stylegan1_64.pth",
}


def _file(folder: str, name: str) -> Path:
    return fixture(folder) / name


@pytest.mark.parametrize("folder", FILES)
def test_a_file_of_every_style_family_gives_the_originals_codes_styles_and_images(
    folder: str,
) -> None:
    path = _file(folder, FILES[folder])
    expected = load_file(path.with_name("reference.safetensors"))
    generator = load_generator(path)
    assert isinstance(generator, StyleGenerator)
    network = generator.network
    with torch.no_grad():
        w = network.mapping(expected["z"], expected.get("c"))
        agree(w[:, None].expand_as(expected["ws"]), expected["ws"])
        for key in (k for k in expected if k.startswith("ws_psi")):
            psi, _, cut = key.removeprefix("ws_psi").partition("_cut")
            agree(
                generator.truncate(expected["ws"], float(psi), cutoff=int(cut) if cut else None),
                expected[key],
            )
        styles = generator.map(expected["wplus"], "w+", "s").split(list(network.style_sizes), 1)
        for layer, got in zip(network.style_names, styles, strict=True):
            key = f"style_wplus.synthesis.{layer}.affine"
            if key in expected:
                agree(got, expected[key])
        agree(generator.synthesize(expected["wplus"], "w+"), expected["img_wplus"])
        agree(generator.synthesize(expected["ws"], "w+"), expected["img_psi1"])
        for psi, cutoff, key in ((0.7, None, "img_psi0.7"), (0.5, 4, "img_psi0.5_cut4")):
            if key in expected:
                ws = generator.truncate(expected["ws"], psi, cutoff=cutoff)
                agree(generator.synthesize(ws, "w+"), expected[key])
        if "img_wplus_nonoise" in expected:
            quiet = load_generator(path, noise="none")
            agree(quiet.synthesize(expected["wplus"], "w+"), expected["img_wplus_nonoise"])


def test_the_pggan_file_gives_the_originals_images() -> None:
    path = _file("gf_pggan64", "gf_pggan64.pth")
    expected = load_file(path.with_name("reference.safetensors"))
    with torch.no_grad():
        agree(load_generator(path).synthesize(expected["z"]), expected["img_psi1"])


@pytest.mark.parametrize("whole_folder", [True, False])
def test_the_biggan_file_gives_the_originals_images(whole_folder: bool) -> None:
    path = _file("biggan_deep64", "pytorch_model.bin")
    expected = load_file(path.with_name("reference.safetensors"))
    keys = [k for k in expected if k.startswith("img_trunc")]
    assert len(keys) == 5
    for key in keys[:1] if whole_folder else keys:
        truncation = float(key.removeprefix("img_trunc"))
        for i, label in enumerate(expected["class_vector"].argmax(1).tolist()):
            generator = load_generator(
                path.parent if whole_folder else path, label=label, truncation=truncation
            )
            z = expected[f"z_trunc{truncation}"][i : i + 1]
            with torch.no_grad():
                agree(generator.synthesize(z), expected[key][i : i + 1])


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "skip, two mapping layers": {},
    "skip, eight mapping layers": {"layers": 8},
    "skip, odd widths": {"channels": (7, 13, 3, 5)},
    "skip, conditional": {"c_dim": 5},
    "skip, filter of three taps": {"taps": (1.0, 2.0, 1.0)},
    "skip, lopsided filter": {"taps": (1.0, 3.0, 5.0, 2.0)},
    "skip, filter of eight taps": {"taps": (1.0, 2.0, 3.0, 4.0, 4.0, 3.0, 2.0, 1.0)},
    "skip, no noise": {"noise": False},
    "skip, clamped": {"clamp": 1.5},
    "resnet": {"architecture": "resnet"},
    "resnet, clamped": {"architecture": "resnet", "clamp": 1.5},
    "orig": {"architecture": "orig", "clamp": 1.5},
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_stylegan2_pickle_of_any_configuration_makes_the_originals_images(
    case: str, tmp_path: Path
) -> None:
    settings = dict(CONFIGURATIONS[case])
    clamp = settings.pop("clamp", None)
    state = written.stylegan2_state(**settings)
    kwargs = {"z_dim": 7, "synthesis_kwargs": {"conv_clamp": clamp}}
    module = written.nvidia_module(state, kwargs=kwargs)
    path = written.nvidia_file(
        module, tmp_path / "a.pkl", other=written.nvidia_module(written.stylegan2_state(seed=9))
    )
    generator = load_generator(path)
    assert isinstance(generator, StyleGenerator)
    draw = torch.Generator().manual_seed(1)
    ws = torch.randn(2, generator.network.num_ws, 9, generator=draw)
    z = torch.randn(2, 7, generator=draw)
    label = torch.eye(5)[:2] if settings.get("c_dim") else None
    original = Original(state, settings.get("architecture", "skip"), clamp)
    with torch.no_grad():
        agree(generator.network.mapping(z, label), original.mapping(z, label))
        agree(generator.synthesize(ws, "w+"), original.images(ws))
    torch.testing.assert_close(generator.network.w_avg, state["mapping.w_avg"])


def _clamp(generator: Any) -> float | None:
    value: float | None = generator.network.config.conv_clamp
    return value


@pytest.mark.parametrize(
    ("kwargs", "attributes", "expected"),
    [
        ({}, {}, None),
        ({"synthesis_kwargs": {"channel_base": 32}}, {}, None),
        ({"synthesis_kwargs": {"conv_clamp": 256}}, {}, 256.0),
        ({"channel_base": 32}, {}, 256.0),
        ({"channel_base": 32, "conv_clamp": None}, {}, None),
        ({"channel_base": 32, "conv_clamp": 8}, {}, 8.0),
        ({"channel_base": 32}, {"conv_clamp": None}, None),
        ({}, {"conv_clamp": 256}, 256.0),
    ],
)
def test_the_clamp_is_the_files_or_the_default_of_the_repository_that_wrote_it(
    kwargs: dict[str, Any], attributes: dict[str, Any], expected: float | None, tmp_path: Path
) -> None:
    module = written.nvidia_module(
        written.stylegan2_state(), kwargs=kwargs, attributes={"synthesis.b4.conv1": attributes}
    )
    path = written.nvidia_file(module, tmp_path / "a.pkl")
    assert _clamp(load_generator(path)) == expected
    assert _clamp(load_generator(path, conv_clamp=3.0)) == 3.0
    assert _clamp(load_generator(path, conv_clamp=math.inf)) is None


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["nvidia", "tensorflow"])
def test_every_pickle_protocol_gives_the_same_weights(
    kind: str, protocol: int, tmp_path: Path
) -> None:
    state = written.stylegan2_state()
    if kind == "nvidia":
        module = written.nvidia_module(state, kwargs={"z_dim": 7})
        path = written.nvidia_file(module, tmp_path / "a.pkl", protocol=protocol)
    else:
        network = written.tensorflow_stylegan2(state)
        path = written.dump((network, network, network), tmp_path / "a.pkl", protocol=protocol)
    _same(load_generator(path), state)


def _same(generator: Any, state: written.State, **settings: Any) -> None:
    expected = stylegan2_from_state(state, **settings)
    assert generator.network.config == expected.config
    got = generator.network.state_dict()
    assert got.keys() == expected.state_dict().keys()
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(got[key], value, msg=key)


@pytest.mark.parametrize(
    "settings",
    [{}, {"architecture": "resnet"}, {"architecture": "orig"}, {"c_dim": 4}, {"taps": (1.0, 1.0)}],
)
def test_a_tensorflow_stylegan2_gives_the_weights_it_was_made_from(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    state = written.stylegan2_state(**settings)
    kernel = list(settings.get("taps", (1, 3, 3, 1)))
    kwargs = {"resample_kernel": kernel, "conv_clamp": 4, "mapping_lrmul": 0.02}
    network = written.tensorflow_stylegan2(state, kwargs=kwargs)
    raw = written.tensorflow_stylegan2(written.stylegan2_state(**settings, seed=5), kwargs=kwargs)
    path = written.dump((raw, raw, network), tmp_path / "a.pkl")
    _same(load_generator(path), state, conv_clamp=4.0, lr_multiplier=0.02)


def test_a_grown_tensorflow_stylegan2_keeps_its_last_image_layer_only(tmp_path: Path) -> None:
    state = written.stylegan2_state()
    network = written.tensorflow_stylegan2(state, grown=True)
    path = written.dump((network, network, network), tmp_path / "a.pkl")
    expected = {k: v for k, v in state.items() if "torgb" not in k or "b16" in k}
    _same(load_generator(path), expected)


@pytest.mark.parametrize("c_dim", [0, 3])
def test_the_mean_of_w_takes_no_more_labels_at_once_than_allowed(c_dim, monkeypatch) -> None:
    state = written.stylegan2_state(c_dim=c_dim)
    del state["mapping.w_avg"]
    whole = stylegan2_from_state(state)
    sizes = []
    mapped = stylegan2.StyleGAN2.mapping

    def noted(self, z, label=None):
        sizes.append(len(z))
        return mapped(self, z, label)

    monkeypatch.setattr(stylegan2, "LABEL_NUMBERS", 3000)
    monkeypatch.setattr(stylegan2.StyleGAN2, "mapping", noted)
    parts = stylegan2_from_state(state)
    assert max(sizes) == (1000 if c_dim else 3000)
    torch.testing.assert_close(parts.w_avg, whole.w_avg, atol=1e-6, rtol=1e-5)


def test_labels_looked_up_are_normalized_with_z(tmp_path: Path) -> None:
    state = written.stylegan2_state(z_dim=12)
    state["mapping.label_weight"] = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))
    network = written.tensorflow_stylegan2(state)
    path = written.dump((network, network, network), tmp_path / "a.pkl")
    generator = load_generator(path, label=2)
    assert isinstance(generator, StyleGenerator)
    z = generator.sample(3, seed=0)
    assert z.shape == (3, 7)
    with torch.no_grad():
        expected = Original(state).mapping(z, torch.eye(4)[[2, 2, 2]])
        agree(generator.map(z, "z", "w"), expected)


def test_a_training_file_of_rosinality_loads_with_its_arguments_and_a_sampled_mean(
    tmp_path: Path,
) -> None:
    state = written.stylegan2_state(channels=(8, 8, 8), z_dim=9, hidden=9)
    layout = written.rosinality_state(state)
    other = {k: torch.zeros_like(v) for k, v in layout.items()}
    value = {"g": other, "d": {}, "g_ema": layout, "g_optim": {"state": {0: {"step": 1}}}}
    path = tmp_path / "550000.pt"
    torch.save({**value, "args": argparse.Namespace(size=16, lr=0.002)}, path)
    generator = load_generator(path)
    assert isinstance(generator, StyleGenerator)
    w = generator.sample(4096, seed=3, space="w")
    torch.testing.assert_close(
        generator.network.w_avg, w.mean(0), rtol=0, atol=0.15 * float(w.std())
    )
    expected = {**layout, "latent_avg": generator.network.w_avg}
    _same(generator, expected)
    images = stylegan2_from_state(state).eval()
    ws = w[:2, None].expand(-1, 6, -1)
    with torch.no_grad():
        agree(
            generator.synthesize(ws, "w+"),
            StyleGenerator(images, name="n").synthesize(ws, "w+"),
        )


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
def test_the_decoder_of_an_encoder_file_loads_with_its_mean(
    old_format: bool, repeated: bool, tmp_path: Path
) -> None:
    state = written.stylegan2_state(channels=(8, 8), z_dim=9, hidden=9)
    layout = written.rosinality_state(state)
    mean = state["mapping.w_avg"]
    value = {
        "state_dict": {
            **{f"encoder.{k}": v for k, v in layout.items()},
            **{f"decoder.{k}": v for k, v in layout.items()},
        },
        "latent_avg": mean.repeat(4, 1) if repeated else mean,
        "opts": {"output_size": 8, "device": torch.device("cpu")},
    }
    path = tmp_path / "e4e.pt"
    torch.save(value, path, _use_new_zipfile_serialization=not old_format)
    _same(load_generator(path), {**layout, "latent_avg": mean})


def test_files_older_than_the_noise_buffers_get_noise_by_a_seed(tmp_path: Path) -> None:
    layout = written.rosinality_state(written.stylegan2_state(z_dim=9, hidden=9))
    torch.save({"g_ema": {k: v for k, v in layout.items() if "noises" not in k}}, tmp_path / "a.pt")
    first, second = (load_generator(tmp_path / "a.pt") for _ in range(2))
    assert first.fingerprint == second.fingerprint
    codes = first.sample(1, seed=0, space="w")
    quiet = load_generator(tmp_path / "a.pt", noise="none")
    with torch.no_grad():
        change = first.synthesize(codes, "w") - quiet.synthesize(codes, "w")
    assert float(change.abs().max()) > 0.01


def test_training_files_of_genforce_nest_their_models(tmp_path: Path) -> None:
    path = _file("gf_stylegan2_64", "gf_stylegan2_64.pth")
    state = load_file(path.with_name("state_dict.safetensors"))
    zeros = {k: torch.zeros_like(v) for k, v in state.items()}
    value = {
        "models": {"discriminator": {}, "generator": zeros, "generator_smooth": state},
        "running_metadata": {"iter": 5},
        "learning_rates": {"generator": {"last_epoch": 5}},
    }
    torch.save(value, tmp_path / "checkpoint_iter5.pth")
    assert load_generator(tmp_path / "checkpoint_iter5.pth").fingerprint == (
        load_generator(path).fingerprint
    )


def test_half_precision_and_data_parallel_files_load(tmp_path: Path) -> None:
    state = written.stylegan2_state()
    half = OrderedDict((f"module.{k}", v.half()) for k, v in state.items())
    torch.save({"G_ema": half}, tmp_path / "a.pt")
    _same(load_generator(tmp_path / "a.pt"), {k: v.half().float() for k, v in state.items()})


def test_safetensors_take_their_settings_from_json_beside_them(tmp_path: Path) -> None:
    state = written.stylegan2_state()
    save_file({k: v.clone() for k, v in state.items()}, tmp_path / "a.safetensors")
    _same(load_generator(tmp_path / "a.safetensors"), state)
    (tmp_path / "a.json").write_text('{"constructor": {"synthesis_kwargs": {"conv_clamp": 2}}}')
    _same(load_generator(tmp_path / "a.safetensors"), state, conv_clamp=2.0)


def test_a_conditional_tensorflow_pggan_takes_its_label(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return draw.standard_normal(shape, dtype=np.float32)

    variables = {"lod": np.float32(0)}
    for r, inputs in ((4, 8), (8, 6)):
        names = ("Dense", "Conv") if r == 4 else ("Conv0_up", "Conv1")
        dense = normal(inputs, 6 * 16) if r == 4 else normal(3, 3, 6, inputs)
        variables |= {f"{r}x{r}/{names[0]}/weight": dense, f"{r}x{r}/{names[0]}/bias": normal(6)}
        variables |= {f"{r}x{r}/{names[1]}/weight": normal(3, 3, 6, 6)}
        variables |= {f"{r}x{r}/{names[1]}/bias": normal(6)}
    for lod in (0, 1):
        variables |= {
            f"ToRGB_lod{lod}/weight": normal(1, 1, 6, 3),
            f"ToRGB_lod{lod}/bias": normal(3),
        }
    network = written.tensorflow_network(variables, kwargs={"label_size": 3}, progan=True)
    path = written.dump((network, network, network), tmp_path / "a.pkl")
    generator = load_generator(path, label=1)
    assert generator.spaces["z"].shape == (5,)
    with torch.no_grad():
        images = generator.synthesize(generator.sample(2, seed=0))
    assert images.shape == (2, 3, 8, 8)
    assert float(images.std()) > 0.01
