"""BigGAN-deep against the images of pytorch-pretrained-biggan, and what its spaces promise."""

import json
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from scipy import stats

from directions import LatdirError
from directions.generators.biggan import statistics
from directions.generators.checkpoints.biggan import biggan_from_state
from discovery.unsupervised.sefa import SeFa
from tests.parity import fixture
from tests.waves import LAYERS, biggan_state, small_biggan

TRUNCATIONS = (1.0, 0.7, 0.4, 0.345, 0.14)


@cache
def loaded():
    folder = fixture("biggan_deep64")
    config = json.loads((folder / "biggan_config.json").read_text())
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    generator = biggan_from_state(state, name="deep64", config=config)
    return generator, load_file(folder / "reference.safetensors")


@torch.no_grad()
def test_official_images():
    generator, reference = loaded()
    labels = reference["class_vector"].argmax(1).tolist()
    folded = generator.network.first.weight
    torch.testing.assert_close(folded, reference["effective_weight.generator.gen_z"])
    for truncation in TRUNCATIONS:
        there = generator.with_truncation(truncation)
        for i, label in enumerate(labels):
            z = reference[f"z_trunc{truncation}"][i : i + 1]
            expected = reference[f"img_trunc{truncation}"][i : i + 1]
            got = there.with_label(label).synthesize(z)
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
            # The class may also come with the code.
            code = torch.cat([z, generator.class_code(label)[None, 16:]], 1)
            torch.testing.assert_close(there.synthesize(code, "w"), got)


def test_statistics_are_mixed_as_the_original_mixes_them():
    """Weights exchanged; where rounding misses a row from below, the row after it is taken."""
    rows = torch.arange(51.0)[:, None]
    taken = {t: float(statistics(rows, t)) for t in (0.14, 0.28, 0.56, 0.58, 0.94, 1.0)}
    expected = {0.14: 8.0, 0.28: 15.0, 0.56: 29.0, 0.58: 28.0, 0.94: 46.0, 1.0: 50.0}
    assert taken == pytest.approx(expected, abs=1e-6)
    assert float(statistics(torch.arange(11.0)[:, None], 0.345)) == pytest.approx(3.55)


def test_noise_is_a_truncated_normal():
    generator = small_biggan().with_truncation(0.3)
    z = generator.sample(3000, seed=5)
    assert float(z.abs().max()) <= 0.6
    distance = stats.kstest(z.flatten().numpy() / 0.3, stats.truncnorm(-2, 2).cdf).statistic
    assert distance < 0.015
    variance = generator.prior("z").covariance.diagonal()
    torch.testing.assert_close(
        variance, torch.full_like(variance, 0.09 * stats.truncnorm.var(-2, 2))
    )


def test_without_a_label_w_holds_all_classes():
    """Each code has its own class, whatever the batch, and the prior knows their spread."""
    labeled = small_biggan()
    generator = labeled.with_label(None)
    codes = generator.sample(4000, seed=1, space="w")
    assert torch.equal(generator.sample(7, seed=1, start=300, space="w"), codes[300:307])
    assert torch.equal(codes[:, :6], generator.sample(4000, seed=1))
    embedded = torch.stack([generator.class_code(k)[6:] for k in range(7)])
    counts = (codes[:, None, 6:] == embedded).all(-1).sum(0)
    assert int(counts.sum()) == 4000
    assert int(counts.min()) > 450
    prior = generator.prior("w")
    torch.testing.assert_close(torch.cov(codes.T), prior.covariance, rtol=0, atol=0.08)
    between = generator.class_code(1) - generator.class_code(2)
    assert prior.sigma(between / between.norm()) > 0.1
    assert labeled.prior("w").sigma(between / between.norm()) == 0
    with torch.no_grad():
        mixed = generator.synthesize(codes[:4], "w")
        own = labeled.synthesize(codes[:4, :6])
    assert float((mixed - own).abs().max()) > 1e-3
    for asked in (
        lambda: generator.synthesize(codes[:1, :6]),
        lambda: generator.map(codes[:1, :6], "z", "w"),
    ):
        with pytest.raises(LatdirError, match=r"conditional on 7 classes: .*with_label\(0\)"):
            asked()


def test_style_matrices_are_what_the_noise_meets_first():
    generator = small_biggan()
    matrices = generator.style_matrices()
    assert len(matrices) == 1 + 2 * 4 * len(LAYERS)
    assert all(m.shape[1] == 10 and not m[:, 6:].any() for m in matrices)
    first, norm = generator.network.first, generator.network.blocks[0].norms[1]
    step = torch.randn(10, generator=torch.Generator().manual_seed(0))
    step[6:] = 0
    code = generator.sample(1, seed=0, space="w")[0]
    moved = first(code + step) - first(code)
    torch.testing.assert_close(moved, matrices[0] @ step, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.offset @ step, generator.style_matrices((4,))[0] @ step)
    with pytest.raises(LatdirError, match="has style layers 0 … 32, not 33"):
        generator.style_matrices((33,))
    bank = SeFa(n_directions=4).discover(generator)
    assert {bank[name].space for name in bank} == {"w"}
    assert not torch.stack([bank[name].vector[6:] for name in bank]).any()


def test_bfloat16_keeps_the_picture():
    generator = small_biggan()
    codes = generator.sample(8, seed=0)
    with torch.no_grad():
        exact = generator.synthesize(codes)
        with torch.autocast("cpu", torch.bfloat16):
            rough = generator.synthesize(codes)
    assert rough.dtype == torch.float32
    psnr = float(10 * torch.log10(4 / (rough - exact).square().mean()))
    assert 40 < psnr < 90


def test_derivatives_are_the_difference_quotient():
    """In float64, forward mode under vmap and reverse mode, from both spaces."""
    generator = small_biggan()
    codes = {space: generator.sample(1, seed=2, space=space)[0].double() for space in ("z", "w")}
    generator.network.double()
    rng = torch.Generator().manual_seed(1)
    for space, code in codes.items():
        model = generator.linearize(code, space=space)
        steps = torch.randn(2, len(code), generator=rng).double()
        with torch.no_grad():
            plus, minus = (generator.synthesize(code + t * steps, space) for t in (1e-6, -1e-6))
        pushed = model.push(steps)
        torch.testing.assert_close(pushed, (plus - minus) / 2e-6, rtol=1e-4, atol=1e-5)
        u = torch.randn(pushed.shape, generator=rng).double()
        torch.testing.assert_close((model.pull(u) * steps).sum(), (u * pushed).sum())


def test_eleven_rows_and_attention_elsewhere():
    """The second published layout of statistics; attention is where its keys are."""
    keys = fixture("KEYS.txt")
    lines = keys.read_text().splitlines()
    listed = lines[lines.index("== biggan_deep32_stats11/state_dict.safetensors") + 1].split()
    rng = torch.Generator().manual_seed(0)
    state = {}
    for item in listed:
        key, _, sizes = item.rstrip("]").partition("[")
        state[key] = torch.rand([int(n) for n in sizes.split(",") if n], generator=rng)
    ups = (False, True, False, True, False, True)
    config = {"layers": [(up, 0, 0) for up in ups], "output_dim": 32}
    generator = biggan_from_state(state, name="g", config=config, label=2, truncation=0.345)
    kinds = [type(layer).__name__ for layer in generator.network.layers]
    assert kinds.index("Attention") == 2
    with torch.no_grad():
        images = generator.synthesize(generator.sample(2, seed=0))
    assert tuple(images.shape[1:]) == generator.image_shape == (3, 32, 32)
    with pytest.raises(LatdirError, match=r"which of its 6 blocks .*config=json\.loads"):
        biggan_from_state(state, name="g")
    wrong = {"layers": [(True, 0, 0)] * 6, "output_dim": 32}
    with pytest.raises(LatdirError, match="images of side 256, but the config says 32"):
        biggan_from_state(state, name="g", config=wrong)


def test_what_does_not_fit_is_named():
    state, config = biggan_state(), {"layers": LAYERS}
    with pytest.raises(LatdirError, match=r"has 'extra', which no BigGAN-deep has"):
        biggan_from_state({**state, "extra": torch.zeros(1)}, name="g", config=config)
    with pytest.raises(LatdirError, match=r"of no BigGAN-deep, .*the first is 'a'"):
        biggan_from_state({"a": torch.zeros(1)}, name="g", config=config)
    for key in ("embeddings.weight", "generator.layers.2.snconv1x1_g.weight_u"):
        rest = {k: v for k, v in state.items() if k != key}
        with pytest.raises(LatdirError, match=f"has no '{key}'"):
            biggan_from_state(rest, name="g", config=config)
    with pytest.raises(LatdirError, match=r"has classes 0 … 6, so there is no class 7"):
        small_biggan().with_label(7)
    with pytest.raises(LatdirError, match="above 0 and at most 1, not 0"):
        small_biggan().with_truncation(0.0)
