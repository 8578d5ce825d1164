"""PGGAN against images computed by the original project."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from directions import LatdirError, load_generator
from directions.generators.checkpoints.progan import progan_from_state
from directions.generators.progan import ProGAN
from discovery.unsupervised.sefa import SeFa
from tests.directions.generators.checkpoints import written
from tests.parity import agree, fixture

NAME = "gf_pggan64"


@cache
def _state() -> dict[str, Tensor]:
    return load_file(fixture(NAME) / "state_dict.safetensors")


@cache
def _loaded() -> tuple[ProGAN, dict[str, Tensor]]:
    generator = progan_from_state(_state(), name="gf_pggan64")
    return generator, load_file(fixture(NAME) / "reference.safetensors")


def test_images_agree() -> None:
    generator, reference = _loaded()
    agree(generator.synthesize(reference["z"]), reference["img_psi1"])


@pytest.mark.parametrize("lod", ["0.4", "1.0", "1.7"])
def test_a_growing_generator_blends_its_last_two_levels(lod: str) -> None:
    _, reference = _loaded()
    state = {**_state(), "lod": torch.tensor(float(lod))}
    growing = progan_from_state(state, name="growing")
    agree(growing.synthesize(reference["z"]), reference[f"img_lod{lod}"])


def test_only_the_direction_of_a_code_counts() -> None:
    generator, reference = _loaded()
    agree(generator.synthesize(reference["z"] * 3), reference["img_psi1"])


def test_sefa_and_its_edit_agree() -> None:
    generator, _ = _loaded()
    official = np.load(fixture(NAME) / "sefa.npz")
    vectors = torch.from_numpy(official["eigh64_vectors_all"])
    for i, direction in enumerate(SeFa(n_directions=10).discover(generator).directions):
        assert direction.evidence["eigenvalue"] == pytest.approx(
            float(official["eigh64_values_all"][i]), rel=1e-5
        )
        assert float((vectors[i] @ direction.vector.double()).abs()) > 0.9999
    code, boundary = (torch.from_numpy(official[f"edit_{k}"]) for k in ("code", "boundary"))
    for distance, expected in zip(official["edit_distances"], official["edit_images"], strict=True):
        moved = code + boundary * float(distance)
        agree(generator.synthesize(moved)[0], torch.from_numpy(expected))


def _official_variables() -> dict[str, Tensor]:
    names = json.loads((fixture(NAME) / "config.json").read_text())["pth_to_tf_var_mapping"]
    variables = {}
    for ours, theirs in names.items():
        value = _state()[ours]
        if theirs == "4x4/Dense/weight":
            # A dense layer whose outputs are [channels, 4, 4].
            value = value.flip(2, 3).permute(1, 0, 2, 3).flatten(1)
        elif value.ndim == 4:
            value = value.permute(2, 3, 1, 0)
        variables[theirs] = value
    return variables


def test_the_official_variables_give_the_same_network() -> None:
    _, reference = _loaded()
    variables = _official_variables()
    agree(progan_from_state(variables, name="tf").synthesize(reference["z"]), reference["img_psi1"])
    fused = {k.replace("Conv0/", "Conv0_up/"): v for k, v in variables.items()}
    agree(
        progan_from_state(fused, name="tf").synthesize(reference["z"]),
        progan_from_state(_fused(_state()), name="gf", fused_scale=True)
        .synthesize(reference["z"])
        .detach(),
    )


def test_the_official_pickle_gives_the_same_network(tmp_path: Path) -> None:
    _, reference = _loaded()
    variables = {name: value.numpy() for name, value in _official_variables().items()}
    network = written.tensorflow_network(
        variables, kwargs={"num_channels": 3, "resolution": 64, "label_size": 0}, progan=True
    )
    generator = load_generator(written.dump((network,) * 3, tmp_path / "karras2018iclr.pkl"))
    with torch.no_grad():
        agree(generator.synthesize(reference["z"]), reference["img_psi1"])


def _fused(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As genforce stores fused layers: inputs first."""
    ups = {f"layer{i}.weight" for i in (2, 4, 6, 8)}
    return {k: v.transpose(0, 1) if k in ups else v for k, v in state.items()}


def test_fused_layers_are_told_by_their_shapes() -> None:
    _, reference = _loaded()
    told = progan_from_state(_fused(_state()), name="gf").synthesize(reference["z"]).detach()
    asked = progan_from_state(_fused(_state()), name="gf", fused_scale=True)
    agree(told, asked.synthesize(reference["z"]).detach())
    assert float((told - reference["img_psi1"]).abs().max()) > 0.1


@pytest.mark.parametrize("fused", [False, True])
def test_interfacegans_file_gives_the_same_network(fused: bool, tmp_path: Path) -> None:
    _, reference = _loaded()
    renamed = {}
    for key, value in _state().items():
        name, _, part = key.partition(".")
        up = name.startswith("layer") and int(name[5:]) in (2, 4, 6, 8)
        if part == "weight" and up and fused:
            renamed[key] = value.permute(2, 3, 1, 0)
        else:
            renamed[
                {"weight": f"{name}.conv.weight", "bias": f"{name}.wscale.bias"}.get(part, key)
            ] = value
    torch.save(renamed, tmp_path / "pggan_celebahq.pth")
    theirs = load_generator(tmp_path / "pggan_celebahq.pth").synthesize(reference["z"])
    ours = progan_from_state(_fused(_state()) if fused else _state(), name="gf")
    agree(theirs, ours.synthesize(reference["z"]).detach())


def test_classes_and_tanh() -> None:
    generator = progan_from_state(_state(), name="classes", c_dim=5, final_tanh=True)
    assert generator.space("z").shape == (59,)
    z = generator.sample(2, seed=0)
    with pytest.raises(LatdirError, match=r"conditional on 5 classes: .*with_label\(0\)"):
        generator.synthesize(z)
    images = [generator.with_label(i).synthesize(z).detach() for i in (0, 1)]
    assert float((images[0] - images[1]).abs().max()) > 1e-3
    # The label stands beside the normalized code; genforce's plain network then sees both.
    plain = progan_from_state(_state(), name="plain")
    unit = z / z.square().mean(1, keepdim=True).sqrt()
    both = torch.cat([unit, torch.tensor([[0.0, 1, 0, 0, 0]]).expand(2, -1)], 1)
    agree(images[1], plain.synthesize(both).tanh().detach())
    with pytest.raises(LatdirError, match="has 5 classes, so there is no class 5"):
        generator.with_label(5)
    assert generator.with_label(0).fingerprint != generator.with_label(1).fingerprint


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(LatdirError, match=r"of no PGGAN layout .*the first is 'conv.weight'"):
        progan_from_state({"conv.weight": torch.zeros(1)}, name="x")
    state = dict(_state())
    with pytest.raises(LatdirError, match=r"has 'extra', which no PGGAN"):
        progan_from_state({**state, "extra": torch.zeros(1)}, name="x")
    with pytest.raises(LatdirError, match=r"level of detail is 5\.0, not within 0 … 4"):
        progan_from_state({**state, "lod": torch.tensor(5.0)}, name="x")
    with pytest.raises(LatdirError, match="cannot hold a label of 64 classes"):
        progan_from_state(state, name="x", c_dim=64)
    with pytest.raises(LatdirError, match=r"do not fit each other.*weights\.3"):
        progan_from_state({**state, "layer3.weight": torch.zeros(5, 5, 3, 3)}, name="x")
    with pytest.raises(LatdirError, match="a tensor of a shape that no PGGAN has"):
        progan_from_state({**state, "layer0.weight": torch.zeros(())}, name="x")
    many = {f"output{i}.weight": torch.zeros(3, 1, 1, 1) for i in range(40)}
    with pytest.raises(LatdirError, match="40 blocks"):
        progan_from_state({**state, **many}, name="x")
    del state["layer3.bias"]
    with pytest.raises(LatdirError, match=r"has no 'layer3\.bias'"):
        progan_from_state(state, name="x")
