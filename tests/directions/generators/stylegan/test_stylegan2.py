"""StyleGAN2 against images, styles and codes computed by the original projects."""

from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from directions import LatdirError
from directions.generators.checkpoints.stylegan2 import stylegan2_from_state
from directions.generators.stylegan.stylegan2 import StyleGAN2
from directions.generators.stylegan.stylegan2_generator import StyleGAN2Generator
from tests.parity import agree, fixture

NAMES = ["sg2ada_skip64_map8", "sg2ada_cond10", "ros_narrow64_converted", "gf_stylegan2_64"]


@cache
def _loaded(name: str) -> tuple[StyleGAN2, dict[str, Tensor]]:
    folder = fixture(name)
    reference = load_file(folder / "reference.safetensors")
    state = load_file(folder / "state_dict.safetensors")
    if "latent_avg" in reference:
        # rosinality keeps the mean w beside the network's state dict.
        state["latent_avg"] = reference["latent_avg"]
    return stylegan2_from_state(state), reference


@pytest.mark.parametrize("name", NAMES)
def test_mapping_agrees(name: str) -> None:
    network, reference = _loaded(name)
    with torch.no_grad():
        w = network.mapping(reference["z"], reference.get("c"))
    agree(w[:, None].expand_as(reference["ws"]), reference["ws"])


@pytest.mark.parametrize("name", NAMES[:2])
def test_every_style_of_an_independent_wplus_agrees(name: str) -> None:
    network, reference = _loaded(name)
    generator = StyleGAN2Generator(network, name=name)
    styles = generator.map(reference["wplus"], "w+", "s").split(network.style_sizes, 1)
    for got, layer in zip(styles, network.style_names, strict=True):
        agree(got.detach(), reference[f"style_wplus.synthesis.{layer}.affine"])


@pytest.mark.parametrize("name", NAMES)
def test_images_agree(name: str) -> None:
    network, reference = _loaded(name)
    generator = StyleGAN2Generator(network, name=name)
    ws = reference["ws"]
    cases = {
        "img_wplus": reference["wplus"],
        "img_psi1": ws,
        "img_psi0.7": generator.truncate(ws, 0.7),
        "img_psi0.5_cut4": generator.truncate(ws, 0.5, cutoff=4),
    }
    with torch.no_grad():
        for key, codes in cases.items():
            if key in reference:
                agree(generator.synthesize(codes, "w+"), reference[key])


@pytest.mark.parametrize("name", NAMES[:2])
def test_images_without_noise_agree(name: str) -> None:
    network, reference = _loaded(name)
    generator = StyleGAN2Generator(network, name=name, noise="none")
    with torch.no_grad():
        agree(generator.synthesize(reference["wplus"], "w+"), reference["img_wplus_nonoise"])


def test_seeded_noise_repeats_and_differs_by_seed() -> None:
    network, reference = _loaded(NAMES[0])
    with torch.no_grad():
        a, b, c = (
            StyleGAN2Generator(network, name="n", noise=seed).synthesize(reference["wplus"], "w+")
            for seed in (1, 1, 2)
        )
    assert torch.equal(a, b)
    assert float((a - c).abs().max()) > 0.1


def test_all_spaces_lead_to_the_same_image() -> None:
    network, _ = _loaded(NAMES[0])
    generator = StyleGAN2Generator(network, name="n")
    z = generator.sample(2, seed=3)
    with torch.no_grad():
        expected = generator.synthesize(z)
        for space in ("w", "w+", "s", "p"):
            codes = generator.map(z, "z", space)
            torch.testing.assert_close(generator.synthesize(codes, space), expected)


def test_p_space_and_back_is_exact() -> None:
    network, _ = _loaded(NAMES[0])
    generator = StyleGAN2Generator(network, name="n")
    w = generator.sample(16, seed=1, space="w")
    torch.testing.assert_close(generator.map(generator.map(w, "w", "p"), "p", "w"), w)


def test_style_matrices_are_the_affine_weights() -> None:
    network, reference = _loaded(NAMES[0])
    generator = StyleGAN2Generator(network, name="n")
    matrices = generator.style_matrices((0, 3))
    w, d = reference["wplus"], torch.randn(64, generator=torch.Generator().manual_seed(0))
    moved = w + d
    before = generator.map(w, "w+", "s").split(network.style_sizes, 1)
    after = generator.map(moved, "w+", "s").split(network.style_sizes, 1)
    for layer, matrix in zip((0, 3), matrices, strict=True):
        change = (after[layer] - before[layer])[0]
        torch.testing.assert_close(change, matrix @ d, rtol=1e-4, atol=1e-4)
    with pytest.raises(LatdirError, match="has style layers 0 … 13, not 99"):
        generator.style_matrices((99,))


def test_a_conditional_network_asks_for_a_label() -> None:
    network, _ = _loaded("sg2ada_cond10")
    generator = StyleGAN2Generator(network, name="cond")
    with pytest.raises(LatdirError, match=r"conditional on 10 classes: .*with_label\(0\)"):
        generator.sample(1, seed=0, space="w")
    labeled = generator.with_label(3).sample(1, seed=0, space="w")
    other = generator.with_label(4).sample(1, seed=0, space="w")
    assert not torch.allclose(labeled, other)
    with pytest.raises(LatdirError, match="has 10 classes, so there is no class 10"):
        generator.with_label(10)


def test_a_foreign_key_is_named() -> None:
    with pytest.raises(LatdirError, match="of no StyleGAN2 layout"):
        stylegan2_from_state({"conv.weight": torch.zeros(1)})
    state = load_file(fixture(NAMES[0]) / "state_dict.safetensors")
    with pytest.raises(LatdirError, match=r"has 'synthesis\.b64\.extra', which no StyleGAN2"):
        stylegan2_from_state({**state, "synthesis.b64.extra": torch.zeros(1)})
    del state["synthesis.b8.conv0.bias"]
    with pytest.raises(LatdirError, match=r"has no 'synthesis\.b8\.conv0\.bias'"):
        stylegan2_from_state(state)
