from itertools import pairwise

import pytest
import torch
from torch import nn

from directions import LatdirError
from directions.generators.dcgan import DCGAN, digiface64


def network(*, nz=7, ngf=4, size=32, channels=3, bias=False):
    """The DCGAN of PyTorch's example, in evaluation mode, with norms that have seen data."""
    doublings = size.bit_length() - 3
    widths = [nz, *(ngf * 2 ** (doublings - 1 - i) for i in range(doublings)), channels]
    layers = []
    for i, (a, b) in enumerate(pairwise(widths)):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers.append(nn.ConvTranspose2d(a, b, 4, stride, padding, bias=bias))
        if i < len(widths) - 2:
            layers += [nn.BatchNorm2d(b), nn.ReLU()]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.ModuleDict({"main": nn.Sequential(*layers, nn.Tanh())})
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    tensor.data.uniform_(0.3, 1.5)
            elif isinstance(module, nn.ConvTranspose2d):
                module.weight.data.normal_(0, 0.3)
    return net.eval()


@pytest.mark.parametrize(
    "options",
    [{}, {"size": 8}, {"size": 64}, {"channels": 1}, {"bias": True}, {"nz": 3, "ngf": 6}],
    ids=str,
)
def test_images_are_those_of_the_network(options):
    net = network(**options)
    generator = DCGAN(net.state_dict())
    codes = generator.sample(9, seed=4)
    with torch.no_grad():
        expected = net["main"](codes[:, :, None, None]).expand(-1, 3, -1, -1)
    assert generator.image_shape == tuple(expected.shape[1:])
    torch.testing.assert_close(generator.synthesize(codes), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(generator.inference()(codes), expected, atol=1e-5, rtol=0)


def test_prepared_layers_are_kept_only_as_long_as_their_weights():
    generator = DCGAN(network().state_dict())
    codes = generator.sample(3, seed=0)
    generator.inference()(codes)
    key = "layers.1.weight"
    tuned = generator.tunable[key].clone().requires_grad_()
    still = generator.with_weights({"layers.2.scale": generator.weights["layers.2.scale"] * 2})
    moving = generator.with_weights({key: tuned})
    for other in (still, moving):
        torch.testing.assert_close(
            other.inference()(codes), other.synthesize(codes).detach(), atol=1e-5, rtol=0
        )
    assert still._layers[1].windows(torch.float32) is generator._layers[1].windows(torch.float32)
    before = moving.inference()(codes)
    with torch.no_grad():
        tuned *= 2
    assert not torch.equal(moving.inference()(codes), before)


def test_what_is_prepared_follows_changes_in_place_and_moves():
    generator = DCGAN(network().state_dict())
    codes = generator.sample(3, seed=0)

    def agree(made: DCGAN, atol: float) -> None:
        expected = made.synthesize(codes)
        torch.testing.assert_close(made.inference()(codes), expected, atol=atol, rtol=0)
        torch.testing.assert_close(made.linearize_batch(codes).value, expected, atol=atol, rtol=0)

    agree(generator, 1e-5)
    generator.weights["layers.1.weight"].mul_(2)
    agree(generator, 1e-5)
    agree(generator.to(dtype=torch.float64), 1e-5)
    agree(generator.to(dtype=torch.bfloat16), 0.1)


def test_style_matrix_is_the_jacobian_of_the_first_layer():
    net = network()
    generator = DCGAN(net.state_dict())
    first = nn.Sequential(*net["main"][:2])
    codes = generator.sample(4, seed=0)
    with torch.no_grad():
        zero = first(torch.zeros(1, 7, 1, 1))
        answer = (first(codes[:, :, None, None]) - zero).flatten(1)
    (matrix,) = generator.style_matrices()
    torch.testing.assert_close(codes @ matrix.T, answer, atol=1e-4, rtol=1e-4)


def test_digiface64_in_bfloat16_agrees_with_float32():
    generator = digiface64()
    codes = generator.sample(64, seed=0)
    with torch.no_grad():
        images = generator.synthesize(codes)
    difference = (generator.inference(precision="bfloat16")(codes) - images).abs()
    assert difference.mean() < 0.002
    assert (difference > 0.02).float().mean() < 0.01
    assert (generator.inference()(codes) - images).abs().max() < 2e-5


def test_digiface64_makes_the_faces_it_made_when_it_was_built():
    generator = digiface64()
    images = generator.inference()(generator.sample(256, seed=0))
    assert images.mean().item() == pytest.approx(-0.3733, abs=0.002)
    assert images.std().item() == pytest.approx(0.4417, abs=0.002)
    pixels = [*images[0, :, 32, 32].tolist(), *images[5, :, 10, 40].tolist()]
    expected = [-0.4439, -0.5985, -0.6173, -0.7056, -0.9340, -0.9515]
    assert pixels == pytest.approx(expected, abs=0.002)
    # Neighboring pixels agree, and the mean face is symmetric.
    sideways = torch.corrcoef(torch.stack([images[..., 1:].flatten(), images[..., :-1].flatten()]))
    assert sideways[0, 1] > 0.95
    mean = images.mean(0)
    mirrored = torch.corrcoef(torch.stack([mean.flatten(), mean.flip(-1).flatten()]))
    assert mirrored[0, 1] > 0.9


def test_double_codes_give_double_images():
    generator = DCGAN(network().state_dict())
    assert generator.synthesize(generator.sample(2, seed=0).double()).dtype == torch.float64


def test_fingerprint_follows_the_weights():
    state = network().state_dict()
    changed = {**state, "main.3.weight": state["main.3.weight"] + 1e-3}
    assert DCGAN(state).fingerprint == DCGAN(dict(reversed(state.items()))).fingerprint
    assert DCGAN(state).fingerprint != DCGAN(changed).fingerprint


def mended(**changes):
    state = dict(network().state_dict())
    for key, value in changes.items():
        name = key.replace("_", ".", 2)
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "are not a DCGAN generator"),
        ({"fc.weight": torch.zeros(3, 3)}, r"fc \(weight\) is neither a transposed convolution"),
        (mended(main_3_weight=torch.zeros(5, 8, 4, 4)), "channels that follow on each other"),
        (mended(main_3_weight=torch.zeros(16, 8, 5, 5)), "4×4 kernels of stride 2"),
        (mended(main_1_running_mean=torch.zeros(3)), "batch norm main.1 has 3 channels, but"),
        (mended(main_9_weight=torch.zeros(4, 2, 4, 4)), "1 or 3 of them at the end"),
    ],
)
def test_other_weights_are_refused(state, message):
    with pytest.raises(LatdirError, match=message):
        DCGAN(state)
