import functools
import logging

import numpy as np
import pytest
import torch
from torch import nn

import directions
from directions import LatdirError, wrap
from tests.unchecked import unchecked


class Net(nn.Module):
    """Images by a 1×1 code map, with a dropout that evaluation mode must switch off."""

    def __init__(self, channels=3, scale=1.0):
        super().__init__()
        self.grow = nn.ConvTranspose2d(6, channels, 8)
        self.drop = nn.Dropout(0.5)
        self.scale = scale
        with torch.no_grad():
            self.grow.weight.copy_(
                torch.linspace(-1, 1, self.grow.weight.numel()).view_as(self.grow.weight).sin()
            )
            self.grow.bias.fill_(0.1)

    def forward(self, codes):
        return self.scale * torch.tanh(self.drop(self.grow(codes)))

    def generate(self, codes):
        return self.forward(codes)


def wrapped(net, **options):
    return wrap(net, **{"latent_dim": 6, "input_shape": (6, 1, 1), **options})


def test_images_are_the_modules_own():
    net = Net().eval()
    generator = wrapped(net)
    codes = generator.sample(3, seed=0)
    assert generator.image_shape == (3, 8, 8)
    assert generator.name == "Net"
    assert torch.equal(generator.synthesize(codes), net(codes[:, :, None, None]))
    assert directions.wrap is wrap


def test_module_keeps_its_modes_and_weights():
    net = Net()
    net.train()
    net.grow.eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    generator = wrapped(net)
    codes = generator.sample(4, seed=0)
    first, second = generator.synthesize(codes), generator.synthesize(codes)
    assert torch.equal(first, second)  # with dropout on, they would differ
    assert net.training
    assert net.drop.training
    assert not net.grow.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


def test_modes_come_back_after_a_failure():
    net = Net()
    generator = wrapped(net)
    net.forward = None
    with pytest.raises(TypeError):
        generator.synthesize(generator.sample(1, seed=0))
    assert net.drop.training


@pytest.mark.parametrize(
    ("pixels", "made", "expected"),
    [
        ("0..1", torch.tensor([0.0, 0.5, 1.0]), [-1.0, 0.0, 1.0]),
        ("0..255", torch.tensor([0.0, 127.5, 255.0]), [-1.0, 0.0, 1.0]),
        ("0..255", torch.tensor([0, 51, 255], dtype=torch.uint8), [-1.0, -0.6, 1.0]),
        ("-1..1", torch.tensor([-1.0, 0.25, 1.0]), [-1.0, 0.25, 1.0]),
    ],
)
def test_pixel_ranges_are_converted(pixels, made, expected):
    def function(codes):
        return made[None, :, None, None].expand(len(codes), 3, 4, 4)

    generator = wrap(function, latent_dim=2, name="f", pixels=pixels)
    image = generator.synthesize(torch.zeros(1, 2))[0]
    assert image[:, 0, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_gray_images_get_three_channels():
    images = wrapped(Net(channels=1)).synthesize(torch.ones(2, 6))
    assert images.shape == (2, 3, 8, 8)
    assert torch.equal(images[:, 0], images[:, 2])


def test_half_precision_modules_take_half_precision_codes():
    generator = wrapped(Net().bfloat16())
    images = generator.synthesize(generator.sample(2, seed=0))
    assert images.dtype == torch.float32


def test_bound_methods_count_as_their_module():
    net = Net()
    generator, other = wrapped(net.generate), wrapped(net)
    codes = generator.sample(2, seed=0)
    assert torch.equal(generator.synthesize(codes), other.synthesize(codes))
    assert generator.name == "Net"
    assert generator.fingerprint != other.fingerprint


def test_fingerprint_follows_weights_range_and_source():
    net, changed = Net(), Net()
    changed.grow.bias.data += 1e-3
    assert wrapped(net).fingerprint == wrapped(Net()).fingerprint
    assert wrapped(net).fingerprint != wrapped(changed).fingerprint
    assert wrapped(net).fingerprint != wrapped(net, pixels="0..1").fingerprint

    def dark(codes):
        return torch.zeros(len(codes), 3, 4, 4) - 0.5

    def darker(codes):
        return torch.zeros(len(codes), 3, 4, 4) - 0.6

    prints = [wrap(f, latent_dim=2, name="f").fingerprint for f in (dark, dark, darker)]
    assert prints[0] == prints[1] != prints[2]


def test_codes_may_come_from_another_distribution():
    def uniform(rng, count):
        return rng.uniform(-1, 1, (count, 6))

    generator = wrapped(Net(), draw=uniform)
    codes = generator.sample(5000, seed=0)
    assert codes.abs().max() <= 1
    variances = generator.prior().covariance.diagonal()
    torch.testing.assert_close(variances, torch.full((6,), 1 / 3), atol=0.02, rtol=0)
    with pytest.raises(LatdirError, match=r"draw returned shape \[256, 5\], not \[256, 6\]"):
        wrapped(Net(), draw=lambda rng, count: np.zeros((count, 5)))


def image_of(value):
    return lambda codes: value.expand(len(codes), *value.shape)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (Net(), {"latent_dim": None}, "latent_dim None is not the size of a code: give a number"),
        (Net(), {"latent_dim": (6, True)[:0]}, r"latent_dim \(\) is not the size"),
        (Net(), {"latent_dim": 0}, r"latent_dim \(0,\) is not the size"),
        (Net(), {"latent_dim": 6.0}, r"latent_dim 6.0 is not the size"),
        (Net(), {"input_shape": (5, 1, 1)}, r"shape \[6\] cannot be reshaped to \[5, 1, 1\]"),
        (Net(), {"input_shape": None}, r"failed on codes of shape \[2, 6\] .* input_shape=\(6, 1"),
        (Net(), {"pixels": "0..2"}, "no pixel range '0..2': there are -1..1, 0..1, 0..255"),
        (Net(scale=100.0), {}, "makes pixels as large as .* pixels='0..1' or pixels='0..255'"),
        (image_of(torch.zeros(3, 4, 4)), {}, "give it a name="),
        (functools.partial(image_of, iter(())), {"name": "f"}, "give a version='…'"),
        (image_of(torch.zeros(4)), {"name": "f"}, r"f does not make images: 2 codes gave a tensor"),
        (image_of(torch.zeros(2, 4, 4)), {"name": "f"}, r"shape \[2, 2, 4, 4\], where"),
        (image_of(torch.full((3, 4, 4), torch.nan)), {"name": "f"}, "gave NaN or infinite pixels"),
        (lambda codes: "a face", {"name": "f"}, "gave a str, where"),
        (image_of(torch.zeros(3, 4, 4).byte()), {"name": "f"}, "type torch.uint8"),
    ],
)
def test_what_makes_no_images_is_refused(function, options, message):
    with unchecked(), pytest.raises(LatdirError, match=message):
        wrapped(function, **options)


def test_a_range_that_looks_wrong_is_mentioned(caplog):
    with caplog.at_level(logging.WARNING):
        wrap(image_of(torch.ones(3, 4, 4)), latent_dim=2, name="f")
    assert "is its range pixels='0..1'?" in caplog.text


def gray(codes):
    return torch.tanh(codes[:, :1, None, None]).expand(-1, 1, 4, 6)


RED = torch.tensor([1.0, 0.0, -1.0])[:, None, None]


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda made: (made, {"w": 1}), {}),
        (lambda made: [made], {}),
        (lambda made: made.numpy(), {}),
        (lambda made: made.permute(0, 2, 3, 1), {"output": "nhwc"}),
        (lambda made: made.permute(0, 2, 3, 1).numpy(), {"output": "nhwc"}),
        (lambda made: {"image": made}, {"output": lambda made: made["image"]}),
        (lambda made: torch.cat([made, made[:, :1]], 1), {"output": lambda made: made[:, :3]}),
        (lambda made: ((made + 1) * 127.5).byte().numpy(), {"pixels": "0..255"}),
    ],
)
def test_images_are_found_in_what_comes_out(change, options):
    def function(codes):
        return change((gray(codes) * RED).detach())

    generator = wrap(function, latent_dim=5, name="f", **options)
    codes = generator.sample(3, seed=1)
    difference = generator.synthesize(codes) - gray(codes) * RED
    assert difference.abs().max() < (0.01 if "pixels" in options else 1e-6)


@pytest.mark.parametrize(
    ("change", "options", "remedy"),
    [
        (lambda made: {"rgb": made}, {}, r"gave a dict, .*output=lambda made: made\['rgb'\]\)"),
        (lambda made: made.permute(0, 2, 3, 1), {}, r"output='nhwc'\)"),
        (lambda made: torch.cat([made, made[:, :1]], 1), {}, r"lambda made: made\[:, :3\]\)"),
        (
            lambda made: torch.cat([made, made[:, :1]], 1).permute(0, 2, 3, 1),
            {"output": "nhwc"},
            r"made\[\.\.\., :3\]\.permute\(0, 3, 1, 2\)\)",
        ),
        (lambda made: made.byte(), {}, r"write wrap\(…, pixels='0\.\.255'\)"),
        (lambda made: made.flatten(1), {}, r"made\.reshape\(-1, 3, 4, 6\)\)"),
        (lambda made: object(), {}, r"gave a object, .*lambda made: the images"),
    ],
)
def test_other_outputs_name_their_remedy(change, options, remedy):
    with pytest.raises(LatdirError, match=remedy):
        wrap(lambda codes: change(gray(codes) * RED), latent_dim=5, name="f", **options)


class Conditional(nn.Module):
    """A class shifts the colors; a keyword scales them."""

    def __init__(self):
        super().__init__()
        self.color = nn.Linear(3, 3)

    def forward(self, z, c, *, psi=1.0):
        c = nn.functional.one_hot(c, 3).float() if c.dtype == torch.int64 else c
        return psi * torch.tanh(z[:, :3] + self.color(c))[:, :, None, None].expand(-1, 3, 2, 2)


def test_labels_and_keyword_arguments():
    net = Conditional()
    by_number = wrap(net, latent_dim=4, label=2)
    by_vector = wrap(net, latent_dim=4, label=[0.0, 0.0, 1.0], kwargs={"psi": 0.5})
    codes = by_number.sample(3, seed=0)
    torch.testing.assert_close(by_number.synthesize(codes) / 2, by_vector.synthesize(codes))
    made = [
        wrap(net, latent_dim=4, label=k, kwargs={"psi": p}) for k, p in ((1, 1.0), (2, 0.5), (2, 1))
    ]
    assert len({g.fingerprint for g in (by_number, by_vector, *made)}) == 5
    assert wrap(net, latent_dim=4, label=2).fingerprint == by_number.fingerprint
    with pytest.raises(LatdirError, match=r"give the class .* with label=…, and other arguments"):
        wrap(net, latent_dim=4)


def test_noise_of_its_own_is_noticed():
    def noisy(codes):
        return torch.tanh(gray(codes) + 0.1 * torch.randn(len(codes), 3, 4, 6))

    with pytest.raises(
        LatdirError, match=r"other images of the same codes .*'noise_mode': 'const'"
    ):
        wrap(noisy, latent_dim=5, name="noisy")
    net = Net()  # its dropout is noise too, unless in evaluation mode
    quiet = wrap(lambda codes: net(codes[:, :, None, None]), latent_dim=6, name="quiet")
    assert torch.equal(*(quiet.synthesize(torch.ones(1, 6)) for _ in range(2)))
    assert net.training


def test_what_cannot_be_called_names_what_can():
    with pytest.raises(LatdirError, match=r"Net is a class: .*wrap\(Net\(…\), latent_dim=…\)"):
        wrap(Net, latent_dim=6)
    with (
        unchecked(),
        pytest.raises(LatdirError, match=r"not a dict: load generators by name or path with"),
    ):
        wrap({}, latent_dim=6)
    with unchecked(), pytest.raises(LatdirError, match="Net is a generator already"):
        wrap(wrapped(Net()), latent_dim=6)
    assert list(wrap(gray, latent_dim=directions.Space("w", (5,)), name="g").spaces) == ["w"]
