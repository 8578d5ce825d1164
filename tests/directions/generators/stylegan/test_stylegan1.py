"""StyleGAN against images, styles and codes computed by the original project."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from directions import LatdirError, load_generator
from directions.generators.checkpoints.stylegan1 import stylegan1_from_state
from directions.generators.progressive import upconvolve, upsampling_kernel
from directions.generators.stylegan.generator import StyleGenerator
from discovery.unsupervised.sefa import SeFa
from tests.directions.generators.checkpoints import written
from tests.parity import agree, fixture

NAME = "gf_stylegan1_64"


@cache
def _state() -> dict[str, Tensor]:
    return load_file(fixture(NAME) / "state_dict.safetensors")


@cache
def _loaded() -> tuple[StyleGenerator, dict[str, Tensor]]:
    generator = stylegan1_from_state(_state(), name="gf_stylegan1_64")
    return generator, load_file(fixture(NAME) / "reference.safetensors")


def test_mapping_agrees() -> None:
    generator, reference = _loaded()
    agree(generator.map(reference["z"], "z", "w+"), reference["ws"])


@pytest.mark.parametrize(("codes", "prefix"), [("ws", "style"), ("wplus", "style_wplus")])
def test_every_style_agrees(codes: str, prefix: str) -> None:
    generator, reference = _loaded()
    styles = generator.map(reference[codes], "w+", "s").split(generator.network.style_sizes, 1)
    assert len(styles) == 10
    for i, style in enumerate(styles):
        agree(style, reference[f"{prefix}.style{i:02d}"])


def test_images_agree_truncated_or_not() -> None:
    generator, reference = _loaded()
    ws = reference["ws"]
    cases = {
        "img_wplus": reference["wplus"],
        "img_psi1": ws,
        "img_psi0.7": generator.truncate(ws, 0.7),
        "img_psi0.5_cut4": generator.truncate(ws, 0.5, cutoff=4),
    }
    for key, codes in cases.items():
        agree(generator.synthesize(codes, "w+"), reference[key])


@pytest.mark.parametrize("lod", ["0.4", "1.0"])
def test_a_growing_generator_blends_its_last_two_levels(lod: str) -> None:
    _, reference = _loaded()
    state = {**_state(), "synthesis.lod": torch.tensor(float(lod))}
    growing = stylegan1_from_state(state, name="growing")
    agree(growing.synthesize(reference["wplus"], "w+"), reference[f"img_wplus_lod{lod}"])


@pytest.mark.parametrize("layers", ["all", "0-1", "2-5", "0,3"])
def test_sefa_agrees(layers: str) -> None:
    generator, _ = _loaded()
    official = np.load(fixture(NAME) / "sefa.npz")
    suffix = {"0,3": "0_and_3"}.get(layers, layers)
    values = torch.from_numpy(official[f"eigh64_values_{suffix}"])
    vectors = torch.from_numpy(official[f"eigh64_vectors_{suffix}"])
    bank = SeFa(layers=layers, n_directions=10).discover(generator)
    for i, direction in enumerate(bank.directions):
        acts_on = None if layers == "all" else tuple(official[f"layers_{suffix}"])
        assert direction.layers == acts_on
        assert direction.evidence["eigenvalue"] == pytest.approx(float(values[i]), rel=1e-5)
        assert float((vectors[i] @ direction.vector.double()).abs()) > 0.9999


def test_sefas_edit_agrees() -> None:
    generator, _ = _loaded()
    official = np.load(fixture(NAME) / "sefa.npz")
    code, boundary = (torch.from_numpy(official[f"edit_{k}"]) for k in ("code", "boundary"))
    for distance, expected in zip(official["edit_distances"], official["edit_images"], strict=True):
        moved = code.clone()
        moved[:, official["edit_layers"]] += boundary * float(distance)
        agree(generator.synthesize(moved, "w+")[0], torch.from_numpy(expected))


def _official_variables() -> dict[str, Tensor]:
    names = json.loads((fixture(NAME) / "config.json").read_text())["pth_to_tf_var_mapping"]
    variables = {}
    for ours, theirs in names.items():
        value = _state()[ours]
        if value.ndim == 2:
            value = value.T
        elif theirs.endswith("/weight") and value.ndim == 4:
            value = value.permute(2, 3, 1, 0)
        variables[theirs] = value
    return variables


def test_the_official_variables_give_the_same_network() -> None:
    _, reference = _loaded()
    for prefix in ("", "G_synthesis/"):
        variables = {
            prefix + k if k[0] not in "Dd" else k: v for k, v in _official_variables().items()
        }
        rebuilt = stylegan1_from_state(variables, name="tf")
        agree(rebuilt.synthesize(reference["wplus"], "w+"), reference["img_wplus"])
        agree(rebuilt.map(reference["z"], "z", "w+"), reference["ws"])


def test_the_official_pickle_gives_the_same_network(tmp_path: Path) -> None:
    _, reference = _loaded()
    places: dict[str, dict[str, object]] = {"": {}, "mapping": {}, "synthesis": {}}
    for name, value in _official_variables().items():
        outer = name in ("lod", "dlatent_avg")
        place = "" if outer else "mapping" if name.startswith("Dense") else "synthesis"
        places[place][name] = value.numpy()
    # A training run leaves the level of detail it ended at in both; the outer one counts.
    places["synthesis"]["lod"] = np.float32(3)
    parts = {name: written.tensorflow_network(places[name]) for name in ("synthesis", "mapping")}
    network = written.tensorflow_network(
        places[""], kwargs={"num_channels": 3, "resolution": 64, "label_size": 0}, components=parts
    )
    path = written.dump((network,) * 3, tmp_path / "karras2019stylegan.pkl")
    generator = load_generator(path)
    with torch.no_grad():
        agree(generator.map(reference["z"], "z", "w+"), reference["ws"])
        agree(generator.synthesize(reference["wplus"], "w+"), reference["img_wplus"])
        agree(generator.synthesize(reference["ws"], "w+"), reference["img_psi1"])
        truncated = generator.truncate(reference["ws"], 0.7)
        agree(generator.synthesize(truncated, "w+"), reference["img_psi0.7"])


def _as_interfacegan(state: dict[str, Tensor], *, fused: tuple[int, ...] = ()) -> dict[str, Tensor]:
    out = {}
    for key, value in state.items():
        part = key.split(".")
        if part[0] == "mapping":
            end = "linear.weight" if part[-1] == "weight" else "wscale.bias"
            key = f"mapping.{part[1]}.{end}"
        elif "style" in part:
            end = "linear.weight" if part[-1] == "weight" else "wscale.bias"
            key = f"synthesis.{part[1]}.epilogue.style_mod.dense.{end}"
        elif part[-1] == "const":
            key = "synthesis.layer0.first_layer"
        elif "apply_noise" in part or (part[-1] == "bias" and "layer" in part[1]):
            key = f"synthesis.{part[1]}.epilogue.{'.'.join(part[2:])}"
        elif part[-1] == "weight":
            number = int(part[1].lstrip("layeroutp"))
            if part[1].startswith("layer") and number in fused:
                value = value.permute(2, 3, 1, 0)
            else:
                key = f"synthesis.{part[1]}.conv.weight"
        out[key] = value
    coefficients = torch.ones(1, 10, 1)
    coefficients[:, :8] = 0.7
    out["truncation.truncation"] = coefficients
    return out


def test_interfacegans_layout_gives_the_same_network() -> None:
    _, reference = _loaded()
    rebuilt = stylegan1_from_state(_as_interfacegan(_state()), name="ifg")
    agree(rebuilt.synthesize(reference["wplus"], "w+"), reference["img_wplus"])
    assert rebuilt.truncation_cutoff == 8


def test_interfacegans_file_gives_the_same_network(tmp_path: Path) -> None:
    _, reference = _loaded()
    torch.save(_as_interfacegan(_state()), tmp_path / "stylegan_ffhq.pth")
    generator = load_generator(tmp_path / "stylegan_ffhq.pth")
    with torch.no_grad():
        agree(generator.map(reference["z"], "z", "w+"), reference["ws"])
        agree(generator.synthesize(reference["wplus"], "w+"), reference["img_wplus"])


def test_fused_layers_agree_between_layouts_and_differ_from_plain_ones() -> None:
    _, reference = _loaded()
    ours = stylegan1_from_state(_state(), name="fused", fused_scale=True)
    theirs = stylegan1_from_state(_as_interfacegan(_state(), fused=(2, 4, 6, 8)), name="ifg")
    image = ours.synthesize(reference["wplus"], "w+")
    agree(theirs.synthesize(reference["wplus"], "w+"), image.detach())
    assert float((image.detach() - reference["img_wplus"]).abs().max()) > 0.1


def test_a_fused_kernel_is_a_plain_one_turned() -> None:
    rng = torch.Generator().manual_seed(0)
    x, weight = torch.rand(2, 3, 5, 5, generator=rng), torch.randn(4, 3, 3, 3, generator=rng)
    # The original sums four shifted copies of the kernel and transposes the convolution.
    kernel = sum(functional.pad(weight, (dx, 1 - dx, dy, 1 - dy)) for dx in (0, 1) for dy in (0, 1))
    fused = functional.conv_transpose2d(x, kernel.transpose(0, 1), stride=2, padding=1)
    ours = upconvolve(x, upsampling_kernel(weight.flip(2, 3)))
    torch.testing.assert_close(ours, fused)


def test_a_label_changes_w_as_the_paper_concatenates_it() -> None:
    rng = torch.Generator().manual_seed(0)
    state = {
        **_state(),
        "mapping.label_weight": torch.randn(7, 24, generator=rng),
        "mapping.dense0.weight": torch.randn(64, 72, generator=rng) * 100,
    }
    generator = stylegan1_from_state(state, name="classes").with_label(3)
    assert generator.space("z").shape == (48,)
    z = generator.sample(2, seed=0)
    x = torch.cat([z, state["mapping.label_weight"][3].expand(2, -1)], 1)
    x = x / x.square().mean(1, keepdim=True).sqrt()
    for i in range(8):
        weight, bias = (state[f"mapping.dense{i}.{part}"] * 0.01 for part in ("weight", "bias"))
        x = functional.leaky_relu(x @ weight.T * (2 / weight.shape[1]) ** 0.5 + bias, 0.2)
    agree(generator.map(z, "z", "w"), x)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(LatdirError, match=r"of no StyleGAN layout .*the first is 'conv.weight'"):
        stylegan1_from_state({"conv.weight": torch.zeros(1)}, name="x")
    state = dict(_state())
    with pytest.raises(LatdirError, match=r"has 'synthesis\.extra', which no StyleGAN"):
        stylegan1_from_state({**state, "synthesis.extra": torch.zeros(1)}, name="x")
    with pytest.raises(LatdirError, match=r"level of detail is 7\.0, not within 0 … 4"):
        stylegan1_from_state({**state, "synthesis.lod": torch.tensor(7.0)}, name="x")
    with pytest.raises(LatdirError, match=r"do not fit each other.*layers\.3\.weight"):
        stylegan1_from_state(
            {**state, "synthesis.layer3.weight": torch.zeros(5, 5, 3, 3)}, name="x"
        )
    with pytest.raises(LatdirError, match="a tensor of a shape that no StyleGAN has"):
        stylegan1_from_state({**state, "synthesis.layer0.const": torch.zeros(())}, name="x")
    many = {f"synthesis.output{i}.weight": torch.zeros(3, 1, 1, 1) for i in range(40)}
    with pytest.raises(LatdirError, match="40 blocks"):
        stylegan1_from_state({**state, **many}, name="x")
    with pytest.raises(LatdirError, match=r"makes 640 coordinates, but a layer reads 64"):
        stylegan1_from_state({**state, "mapping.dense7.weight": torch.zeros(640, 64)}, name="x")
    del state["synthesis.layer3.style.bias"]
    with pytest.raises(LatdirError, match=r"has no 'synthesis\.layer3\.style\.bias'"):
        stylegan1_from_state(state, name="x")
