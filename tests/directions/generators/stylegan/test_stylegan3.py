"""StyleGAN3 against the official code's images and against the paper's definitions, slowly."""

import json
import math
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from directions import LatdirError
from directions.generators.checkpoints.stylegan3 import stylegan3_from_state
from directions.generators.stylegan.filtered_lrelu import CPU_CHUNK, DENSE, resample, separable
from directions.generators.stylegan.stylegan3_schedule import StyleGAN3Config, schedule
from tests.parity import agree, fixture
from tests.waves import SMALL, low_pass, small_stylegan3, stylegan3_state


@cache
def loaded():
    folder = fixture("sg3_t64")
    config = json.loads((folder / "config.json").read_text())
    state = load_file(folder / "state_dict.safetensors")
    generator = stylegan3_from_state(state, name="t64", init_kwargs=config["constructor"])
    return generator, load_file(folder / "reference.safetensors"), config, state


@torch.no_grad()
def test_official_codes_styles_and_images():
    generator, reference, _, _ = loaded()
    agree(generator.map(reference["z"], "z", "w+"), reference["ws"])
    styles = generator.map(reference["wplus"], "w+", "s").split(generator.network.style_sizes, 1)
    for name, got in zip(generator.network.style_names, styles, strict=True):
        agree(got, reference[f"style_wplus.synthesis.{name}.affine"])
    agree(generator.network.input(styles[0])[:1], reference["act_wplus.synthesis.input"])
    ws = reference["ws"]
    for key, codes in {
        "img_wplus": reference["wplus"],
        "img_psi1": ws,
        "img_psi0.7": generator.truncate(ws, 0.7),
        "img_psi0.5_cut4": generator.truncate(ws, 0.5, cutoff=4),
    }.items():
        agree(generator.synthesize(codes, "w+"), reference[key])
    moved = generator.with_transform(reference["transform"])
    agree(moved.synthesize(reference["wplus"], "w+"), reference["img_wplus_transform"])
    # The twin shares the weights, and leaves the transform of the first alone.
    assert moved.network.input.weight is generator.network.input.weight
    assert moved.fingerprint != generator.fingerprint
    agree(generator.synthesize(reference["wplus"], "w+"), reference["img_wplus"])


def test_official_schedule_and_filters():
    generator, _, config, state = loaded()
    layers = generator.network.layers
    assert list(layers) == [expected["name"] for expected in config["checks"]["layers"]]
    for layer, expected in zip(layers.values(), config["checks"]["layers"], strict=True):
        r = layer.rates
        taps = len(layer.up_taps), layer.down_rows.shape[1]
        assert expected["padding"] == [*r.padding(layer.weight.shape[-1], *taps)] * 2
        assert (expected["up_taps"], expected["down_taps"]) == taps
        assert (expected["in_size"], expected["out_size"]) == ([r.in_size] * 2, [r.out_size] * 2)
        got = {
            **{"up": r.up, "down": r.down, "is_critically_sampled": r.critical},
            **{"in_cutoff": r.in_cutoff, "out_cutoff": r.out_cutoff},
            **{"in_half_width": r.in_half_width, "out_half_width": r.out_half_width},
            **{"in_sampling_rate": r.in_rate, "out_sampling_rate": r.out_rate},
        }
        assert got == pytest.approx({k: expected[k] for k in got})
        if r.up > 1:
            rate = float(r.up * r.in_rate)
            designed = low_pass(
                taps[0], cutoff=r.in_cutoff, width=2 * r.in_half_width, rate=rate, radial=False
            )
            torch.testing.assert_close(designed, state[f"synthesis.{expected['name']}.up_filter"])


def upfirdn(x, kernel, *, up=1, down=1, padding=(0, 0)):
    """Zeros between the samples, zeros around or a crop, a true convolution, every n-th kept."""
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, h, up, w, up)
    wide[:, :, :, 0, :, 0] = x
    wide = functional.pad(wide.reshape(n, c, h * up, w * up), padding * 2)
    square = torch.outer(kernel, kernel) if kernel.ndim == 1 else kernel
    square = square.flip(0, 1).to(x).expand(c, 1, -1, -1)
    return functional.conv2d(wide, square, groups=c)[:, :, ::down, ::down]


def slowly(state, ws, *, radial, **kwargs):
    """The synthesis by the paper's definitions, sample by sample, in float64."""
    output_scale = kwargs.pop("output_scale")
    clamp = kwargs.pop("conv_clamp")
    layers = schedule(StyleGAN3Config(16, **kwargs))
    images = []
    s = {k.removeprefix("synthesis."): v.double() for k, v in state.items()}

    def affine(key, w):
        return s[f"{key}.weight"] @ w / math.sqrt(len(w)) + s[f"{key}.bias"]

    for codes in ws.double():
        cos, sin, x, y = (t := affine("input.affine", codes[0])) / t[:2].norm()
        turn = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
        move = torch.tensor([[1, 0, -x], [0, 1, -y], [0, 0, 1]], dtype=torch.float64)
        matrix = (turn @ move @ s["input.transform"])[:2]
        size, rate, cutoff = layers[0].in_size, layers[0].in_rate, layers[0].in_cutoff
        theta = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64) * size / rate / 2
        grid = functional.affine_grid(theta[None], [1, 1, size, size], align_corners=False)[0]
        waves = []
        for freq, phase in zip(s["input.freqs"], s["input.phases"], strict=True):
            turned = freq @ matrix[:, :2]
            fade = 1 - (turned.norm() - cutoff) / (rate / 2 - cutoff)
            turns = grid @ turned + phase + freq @ matrix[:, 2]
            waves.append(torch.sin(2 * math.pi * turns) * fade.clamp(0, 1))
        mix = s["input.weight"] / math.sqrt(len(waves))
        x = torch.einsum("oi,ihw->ohw", mix, torch.stack(waves))[None]
        for i, layer in enumerate(layers):
            key = next(k[: -len(".weight")] for k in s if k.startswith(f"L{i}_"))
            weight, style = s[f"{key}.weight"], affine(f"{key}.affine", codes[i + 1])
            k, last = weight.shape[-1], i == len(layers) - 1
            if last:
                weight = weight * style[:, None, None] / math.sqrt(weight[0].numel())
            else:
                weight = weight * style[:, None, None]
                weight = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
            weight = weight / s[f"{key}.magnitude_ema"].sqrt()
            x = functional.conv2d(x, weight, s[f"{key}.bias"], padding=k - 1)
            if not last:
                up, down = s[f"{key}.up_filter"], s[f"{key}.down_filter"]
                assert down.ndim == (2 if radial and not layer.critical else 1)
                padding = layer.padding(k, len(up), len(down))
                x = upfirdn(x, up * layer.up, up=layer.up, padding=padding)
                x = (functional.leaky_relu(x, 0.2) * math.sqrt(2)).clamp(-clamp, clamp)
                x = upfirdn(x, down, down=layer.down)
            else:
                x = x.clamp(-clamp, clamp)
            assert x.shape[-1] == layer.out_size
        images.append(x[0] * output_scale)
    return torch.stack(images)


@pytest.mark.parametrize("radial", [False, True])
def test_the_papers_definitions(radial):
    """With a clamp low enough to bite, a transform, and another filter size than the default."""
    state = stylegan3_state(radial=radial, seed=3, filter_size=4)
    turn = torch.tensor([[0.8, -0.6, 0.1], [0.6, 0.8, -0.2], [0, 0, 1]])
    state["synthesis.input.transform"] = turn
    kwargs = {**SMALL, "conv_clamp": 0.9, "output_scale": 0.5}
    generator = stylegan3_from_state(state, name="g", init_kwargs=kwargs)
    ws = torch.randn(2, 7, 10, generator=torch.Generator().manual_seed(0))
    ranks = {len(layer.down_rows) for layer in generator.network.layers.values()}
    assert max(ranks) in ((2, 3, 4) if radial else (1,))
    expected = slowly(state, ws, radial=radial, **kwargs)
    unclamped = slowly(state, ws, radial=radial, **{**kwargs, "conv_clamp": 1e9})
    assert (expected - unclamped).abs().max() > 0.1
    with torch.no_grad():
        agree(generator.synthesize(ws, "w+"), expected.float())
        generator.network.double()
        exact = generator.synthesize(ws.double(), "w+")
    torch.testing.assert_close(exact, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "up", "down", "before"), [(9, 4, 2, -6), (30, 2, 1, 9), (157, 2, 1, 9), (301, 1, 2, 0)]
)
def test_resampling_is_zero_insertion_and_convolution(size, up, down, before):
    """Whole matrices and tiles, crops and paddings, several filters at once."""
    rng = torch.Generator().manual_seed(0)
    x, taps = torch.randn(3, size, size, generator=rng), torch.randn(2, 12, generator=rng)
    outputs = (size * up - 20) // down
    tiled = size > DENSE
    assert tiled == (size in (157, 301))
    for axis in (-2, -1):
        for row, got in zip(
            taps,
            resample(x, taps, up=up, down=down, before=before, outputs=outputs, axis=axis),
            strict=True,
        ):
            wide = torch.zeros(3, size * up, size, dtype=x.dtype)
            wide[:, ::up] = x.transpose(-1, -2) if axis == -1 else x
            wide = functional.pad(wide, (0, 0, before, down * outputs + 12))
            kernel = row.flip(0)[None, None, :, None]
            slow = functional.conv2d(wide[:, None], kernel)[:, 0, ::down][:, :outputs]
            slow = slow.transpose(-1, -2) if axis == -1 else slow
            torch.testing.assert_close(got, slow, rtol=0, atol=2e-5)


def test_radial_filters_split_into_few_separable_ones():
    """Within float32's rounding of the filter, for bands as wide as a model of 1024 has."""
    for layer in schedule(StyleGAN3Config(1024)):
        if layer.down > 1 and not layer.critical:
            kernel = low_pass(
                12,
                cutoff=layer.out_cutoff,
                width=2 * layer.out_half_width,
                rate=float(layer.out_rate * layer.down),
                radial=True,
            )
            columns, rows = separable(kernel)
            assert len(rows) <= 5
            assert (columns.T @ rows - kernel).abs().sum() < 3e-6


def test_chunks_do_not_change_anything(monkeypatch):
    generator = small_stylegan3()
    codes = generator.sample(3, seed=0)
    with torch.no_grad():
        expected = generator.synthesize(codes)
        monkeypatch.setattr("directions.generators.stylegan.filtered_lrelu.CPU_CHUNK", 5000)
        assert CPU_CHUNK > 5000
        torch.testing.assert_close(generator.synthesize(codes), expected, rtol=0, atol=1e-6)
        one = torch.cat([generator.synthesize(code[None]) for code in codes])
    torch.testing.assert_close(one, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("radial", [False, True])
def test_derivatives_are_the_difference_quotient(radial):
    """In float64, forward mode under vmap and reverse mode, from every space."""
    generator = small_stylegan3(radial=radial)
    spaces = ("z", "w+", "s") if radial else tuple(generator.spaces)
    codes = {space: generator.sample(1, seed=2, space=space)[0].double() for space in spaces}
    generator.network.double()
    rng = torch.Generator().manual_seed(1)
    for space, code in codes.items():
        model = generator.linearize(code, space=space)
        steps = torch.randn(2, *code.shape, generator=rng).double()
        with torch.no_grad():
            plus, minus = (generator.synthesize(code + t * steps, space) for t in (1e-6, -1e-6))
        pushed = model.push(steps)
        tolerance = 1e-4 * float(pushed.std())
        torch.testing.assert_close(pushed, (plus - minus) / 2e-6, rtol=1e-4, atol=tolerance)
        u = torch.randn(pushed.shape, generator=rng).double()
        torch.testing.assert_close((model.pull(u) * steps).sum(), (u * pushed).sum())


def test_the_picture_turns_and_moves_with_the_canvas():
    """R is built to be equivariant: what comes out of a moved input is the moved picture."""
    generator = small_stylegan3(radial=True)
    codes = generator.sample(4, seed=0)
    with torch.no_grad():
        still = generator.synthesize(codes)
        turned = generator.with_transform(rotate=90.0).synthesize(codes)
        moved = generator.with_transform(translate=(2 / 16, -1 / 16)).synthesize(codes)
    scale = float(still.std())
    assert float((turned - torch.rot90(still, 1, (2, 3))).abs().max()) < 0.01 * scale
    # Two to the right and one up; what came in at the edges was never in the first picture.
    expected = still[:, :, 1:, :-2]
    assert float((moved[:, :, :-1, 2:] - expected).abs().mean()) < 0.05 * scale
    assert float((moved - still).abs().mean()) > 0.2 * scale
    back = generator.with_transform(rotate=30.0).with_transform(torch.eye(3))
    assert torch.equal(back.synthesize(codes), still)
    assert back.fingerprint == generator.fingerprint


def test_bfloat16_keeps_the_picture():
    """The waves and the styles stay exact under autocast, the layers' rounding averages out."""
    for radial in (False, True):
        generator = small_stylegan3(radial=radial)
        codes = generator.sample(8, seed=0)
        with torch.no_grad():
            exact = generator.synthesize(codes)
            with torch.autocast("cpu", torch.bfloat16):
                rough = generator.synthesize(codes)
                styles = generator.map(codes, "z", "s")
            assert torch.equal(styles, generator.map(codes, "z", "s"))
        assert rough.dtype == torch.float32
        noise = float((rough - exact).square().mean() / exact.square().mean())
        assert 1e-9 < noise < 1e-3


def test_what_does_not_fit_is_named():
    state = stylegan3_state()
    with pytest.raises(LatdirError, match=r"has 'extra', which no StyleGAN3 has"):
        stylegan3_from_state({**state, "extra": torch.zeros(1)}, name="g", init_kwargs=SMALL)
    with pytest.raises(LatdirError, match=r"layer L0_24_8 would have side 36 .*'margin_size'"):
        stylegan3_from_state(state, name="g")
    with pytest.raises(LatdirError, match=r"are of no StyleGAN3.*there are none"):
        stylegan3_from_state({"a": torch.zeros(1)}, name="g")
    for key in ("mapping.fc0.weight", "synthesis.L1_24_8.up_filter", "synthesis.input.freqs"):
        rest = {k: v for k, v in state.items() if k != key}
        with pytest.raises(LatdirError, match=f"has no '{key}'"):
            stylegan3_from_state(rest, name="g", init_kwargs=SMALL)
    generator = small_stylegan3()
    with pytest.raises(LatdirError, match="not both"):
        generator.with_transform(torch.eye(3), rotate=3.0)
    with pytest.raises(LatdirError, match=r"invertible 3×3 .* and determinant 0"):
        generator.with_transform(torch.zeros(3, 3))
    with pytest.raises(LatdirError, match=r"of shape \[2, 3\]$"):
        generator.with_transform(torch.zeros(2, 3))


def test_arguments_and_labels():
    """Nested arguments count too; a conditional network asks for its class."""
    state = stylegan3_state(c_dim=4)
    nested = {"synthesis_kwargs": SMALL, "mapping_kwargs": {"lr_multiplier": 0.02}}
    generator = stylegan3_from_state(state, name="g", init_kwargs=nested)
    with pytest.raises(LatdirError, match=r"conditional on 4 classes"):
        generator.sample(1, seed=0, space="w")
    second = generator.with_label(2)
    assert type(second) is type(generator)
    flat = stylegan3_from_state(state, name="g", init_kwargs=SMALL, label=2)
    w, other = (g.sample(2, seed=0, space="w") for g in (second, flat))
    assert not torch.allclose(w, other)
    scaled = {k: v * (2 if ".fc" in k else 1) for k, v in state.items()}
    doubled = stylegan3_from_state(scaled, name="g", init_kwargs=SMALL, label=2)
    torch.testing.assert_close(w, doubled.sample(2, seed=0, space="w"))


@pytest.mark.parametrize(
    ("layout", "kwargs", "shape"),
    [
        ("sg3_r64", {}, (3, 64, 64)),
        ("sg3_t32_cond10", {}, (3, 32, 32)),
        (
            "sg3_t32_odd",
            {"margin_size": 6, "first_cutoff": 1, "first_stopband": 3.5},
            (1, 32, 32),
        ),
    ],
)
def test_layouts_of_other_configurations(layout, kwargs, shape):
    """Radial, conditional, and one with few layers, small margins and one channel of color."""
    keys = fixture("KEYS.txt")
    lines = keys.read_text().splitlines()
    listed = lines[lines.index(f"== {layout}/state_dict.safetensors") + 1].split()
    rng = torch.Generator().manual_seed(0)
    state = {}
    for item in listed:
        key, _, sizes = item.rstrip("]").partition("[")
        state[key] = torch.rand([int(n) for n in sizes.split(",") if n], generator=rng) * 0.1
    label = 3 if "cond" in layout else None
    generator = stylegan3_from_state(state, name="g", init_kwargs=kwargs, label=label)
    assert generator.image_shape == shape
    with torch.no_grad():
        images = generator.synthesize(generator.sample(1, seed=0))
    assert tuple(images.shape) == (1, *shape)
    assert bool(images.isfinite().all())
