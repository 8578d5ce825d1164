"""PTI's and DGP's schedules beside slow loops written from their definitions."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import directions as d
from directions.errors import LatdirError
from directions.generators.dcgan import digiface64
from directions.inversion import Gray, Mask, Shrink, psnr
from directions.inversion.losses import network_features
from directions.inversion.tuning import Pivotal, Progressive, TuningStage, tune
from tests.directions.inversion.tuning.test_pivotal import dcgan, style_generator
from tests.styles import small_stylegan1, small_stylegan2

FEW = (TuningStage(6, 1, 5e-3, 2e-2), TuningStage(5, 2, 3e-3, 1e-2, 0.5, features=0.5, pixels=3.0))


def parts(x: Tensor) -> list[Tensor]:
    """Activations of two blocks, as a discriminator's."""
    low = torch.nn.functional.avg_pool2d(x, 2)
    return [x.relu(), (low - low.mean(1, keepdim=True)).tanh()]


squared = network_features(parts)
absolute = network_features(parts, distance="absolute")


def plain(network: nn.Module, ws: Tensor) -> Tensor:
    """Images of w+ codes by the network itself."""
    slots = network.style_slots
    styles = [network.affine(i)(ws[:, slot]) for i, slot in enumerate(slots)]
    return network.synthesis(styles, noise="const")


def pti(generator, pivots, images, *, steps, rate, threshold=0.0, local=False):
    """The official coaches: Adam on the whole network; images in turn; a ball of radius 30."""
    new, old = copy.deepcopy(generator.network), copy.deepcopy(generator.network)
    new.requires_grad_(True)
    adam = torch.optim.Adam(new.parameters(), lr=rate)
    ws = pivots[:, None].repeat(1, new.num_ws, 1)

    def lpips(a: Tensor, b: Tensor) -> Tensor:
        return sum((x - y).square().mean() for x, y in zip(parts(a), parts(b), strict=True))

    taken = 0
    for _ in range(steps):
        for w, image in zip(ws.split(1), images.split(1), strict=True):
            made = plain(new, w)
            apart = lpips(made, image)
            loss = nn.functional.mse_loss(made, image) + apart
            if local:
                drawn = generator.sample(1, seed=0, start=taken, space="w", truncation=0.5)
                line = drawn[:, None].repeat(1, new.num_ws, 1) - w
                ball = w + 30 * line / torch.norm(line, p=2)
                a, b = plain(new, ball), plain(old, ball).detach()
                loss = loss + 0.1 * nn.functional.mse_loss(a, b) + 0.1 * lpips(a, b)
            adam.zero_grad()
            if apart <= threshold:
                return new, taken
            loss.backward()
            adam.step()
            taken += 1
    return new, taken


@pytest.mark.parametrize("case", ["one", "until LPIPS is low", "local", "several in turn"])
def test_pivotal_tuning_is_the_original_coachs(case: str) -> None:
    generator = style_generator()
    count, steps = (2, 12) if case == "several in turn" else (1, 30)
    pivots = generator.sample(count, seed=3, space="w")
    images = generator.synthesize(generator.sample(count, seed=4, space="w"), "w").clamp(-1, 1)
    settings = {"near": 0.15} if case.startswith("until") else {"near": 0.0}
    local = case == "local"
    expected, taken = pti(
        generator, pivots, images, steps=steps, rate=1e-3, threshold=settings["near"], local=local
    )
    if case == "several in turn":
        settings |= {"batch": 1}
    method = Pivotal.original(local=local, steps=steps * count, rate=1e-3, **settings)
    made = tune(generator, images, pivots, method=method, features=squared, progress=False)
    assert made.steps == taken
    assert (taken < steps) == case.startswith("until")
    ws = generator.sample(3, seed=5, space="w+")
    with torch.no_grad():
        now, wanted = made.generator.synthesize(ws, "w+"), plain(expected, ws)
        assert float((wanted - generator.synthesize(ws, "w+")).abs().mean()) > 0.01
    torch.testing.assert_close(now, wanted, rtol=0, atol=2e-3)


def dgp(generator, codes, images, degrade, method):
    """The official loop, a rate and a number of blocks a stage."""
    network, z = copy.deepcopy(generator.network).requires_grad_(True), codes.clone()
    z.requires_grad_(True)
    blocks = [
        ["const", "layers.0", "rgbs.0"],
        ["layers.1.", "layers.2.", "rgbs.1"],
        ["layers.3.", "layers.4.", "rgbs.2"],
    ]
    groups = [
        {"params": [p for n, p in network.named_parameters() if n.startswith(tuple(names))]}
        for names in blocks
    ]
    g_optim = torch.optim.Adam(groups, lr=1.0, betas=(0.0, 0.999))
    z_optim = torch.optim.Adam([z], lr=1.0, betas=(0.0, 0.999))
    prior = generator.prior("w")
    values, axes = torch.linalg.eigh(prior.covariance.double())
    scale = values.clamp_min(0).sqrt()
    scale = scale.clamp_min(1e-2 * prior.deviations.max())
    target = degrade(images)
    for stage in method.stages:
        for _ in range(stage.steps):
            for i, group in enumerate(g_optim.param_groups):
                group["lr"] = stage.rate * stage.fall**i if i < stage.blocks else 0
            z_optim.param_groups[0]["lr"] = stage.code_rate
            x = degrade(plain(network, z[:, None].expand(-1, network.num_ws, -1)))
            pairs = zip(*(parts(y.repeat(1, 3, 1, 1)) for y in (x, target)), strict=True)
            d_loss = sum(nn.functional.l1_loss(a, b) for a, b in pairs)
            white = (z - prior.mean) @ (axes / scale).float()
            nll = (white**2 / 2).mean()
            loss = stage.features * d_loss + stage.pixels * nn.functional.mse_loss(x, target)
            z_optim.zero_grad()
            g_optim.zero_grad()
            (loss + method.prior * nll).backward()
            z_optim.step()
            g_optim.step()
    return network, z.detach()


def test_progressive_tuning_is_the_original_loop() -> None:
    generator = small_stylegan2()
    codes = generator.sample(2, seed=3, space="w")
    images = generator.synthesize(generator.sample(2, seed=4, space="w"), "w").clamp(-1, 1)
    method = Progressive(stages=FEW, prior=0.1)
    gray = Gray()
    network, found = dgp(generator, codes, images, gray, method)
    made = tune(
        generator, gray(images), codes, method=method, degradation=gray, features=absolute,
        progress=False,
    )  # fmt: skip
    assert made.steps == 11
    assert float((found - codes).abs().max()) > 0.01
    torch.testing.assert_close(made.codes, found, rtol=0, atol=1e-3)
    # The third block stays in both stages.
    assert not any(part.any() for k in ("rgbs.2.weight", "layers.4.weight")
                   for part in made.deltas.changes[k].values())  # fmt: skip
    with torch.no_grad():
        wanted = plain(network, found[:, None].expand(-1, network.num_ws, -1))
    torch.testing.assert_close(
        made.generator.synthesize(made.codes, "w"), wanted, rtol=0, atol=2e-3
    )


def test_the_first_code_is_the_nearest_candidate() -> None:
    generator = small_stylegan2()
    images = generator.synthesize(generator.sample(2, seed=4, space="w"), "w").clamp(-1, 1)
    still = Progressive(stages=(TuningStage(1, 0, 0.0, 0.0),), candidates=40, spread=0.5)
    made = tune(generator, images, method=still, features=absolute, progress=False)
    drawn = generator.sample(40, seed=0, space="w", truncation=0.5)
    with torch.no_grad():
        for code, image in zip(made.codes, images, strict=True):
            apart = [
                sum(
                    (a - b).abs().mean()
                    for a, b in zip(parts(x[None]), parts(image[None]), strict=True)
                )
                for x in generator.synthesize(drawn, "w")
            ]
            assert torch.equal(code, drawn[int(torch.stack(apart).argmin())])
    with pytest.raises(LatdirError, match="Pivotal tunes around codes: give those of an inversion"):
        tune(generator, images)


@pytest.mark.parametrize("make", [small_stylegan1, small_stylegan2, dcgan])
def test_weights_are_in_blocks_from_the_code_on(make) -> None:
    generator = make()
    blocks = {key: generator.block_of(key) for key in generator.weights}
    assert set(generator.tunable) <= set(blocks)
    assert sorted(set(blocks.values())) == list(range(max(blocks.values()) + 1))
    codes = generator.sample(2, seed=1)
    before = generator.synthesize(codes)
    # A whole StyleGAN makes colors of its last features only.
    idle = ("rgbs.0", "rgbs.1") if make is small_stylegan1 else ()
    for key, weight in generator.weights.items():
        same = torch.allclose(generator.with_weights({key: weight + 0.3}).synthesize(codes), before)
        assert same == key.startswith(idle), key


def test_stages_and_tasks_are_the_official_scripts() -> None:
    hole = Progressive.original("hole", prior=0.5)
    assert hole.longest == 1000
    assert hole.prior == 0.5
    assert {s.blocks for s in hole.stages} == {7}
    assert (hole.stages[4].features, hole.stages[4].pixels) == (0.5, 10.0)
    assert [(s.steps, s.rate, s.code_rate) for s in hole.stages] == [
        (200, 5e-5, 2e-3), (200, 5e-5, 1e-3), (200, 2e-5, 2e-5), (200, 2e-5, 2e-5),
        (200, 1e-5, 1e-5),
    ]  # fmt: skip
    detail = Progressive.original()
    assert [(s.steps, s.blocks, s.rate, s.code_rate, s.fall) for s in detail.stages] == [
        (200, 2, 5e-5, 2e-3, 1.0), (200, 3, 5e-5, 1e-3, 1.0), (200, 4, 2e-5, 2e-5, 1.0),
        (200, 5, 1e-5, 1e-5, 1.0), (200, 7, 1e-5, 1e-5, 1.0),
    ]  # fmt: skip
    assert (detail.candidates, detail.spread, detail.prior) == (500, 0.3, 0.02)
    color = Progressive.original("color")
    assert [(s.steps, s.blocks, s.rate, s.code_rate) for s in color.stages] == [
        (200, 2, 5e-5, 2e-3), (200, 3, 5e-5, 1e-3), (300, 4, 5e-5, 5e-4), (400, 5, 5e-5, 5e-5),
        (300, 6, 2e-5, 2e-5),
    ]  # fmt: skip
    assert color.longest == 1400
    assert [s.fall for s in color.stages] == [0.7, 0.7, 0.8, 0.9, 1.0]
    assert {s.pixels for s in color.stages} == {0.0}
    with pytest.raises(LatdirError, match="no task 'colour': did you mean 'color'"):
        Progressive.original("colour")
    with pytest.raises(LatdirError, match="there are no stages"):
        Progressive(stages=())
    far, none = Progressive(stages=(TuningStage(9, 7, 1e30),)), torch.zeros(1, 3, 8, 8)
    with pytest.raises(LatdirError, match=r"tuning diverged at step .*lower the rates of stage 0"):
        tune(style_generator(), none, method=far, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "degradation"), [("detail", Shrink(2)), ("color", Gray()), ("hole", None)]
)
def test_a_photograph_is_repaired(task: str, degradation: object) -> None:
    """What is not seen comes nearer too, by fewer and larger steps than the official ones."""
    generator = digiface64()
    if degradation is None:
        visible = torch.ones(64, 64, dtype=torch.bool)
        visible[24:40, 20:44] = False
        degradation = Mask(visible)
    photo = d.open_photograph(Path(__file__).parents[4] / "docs/images/astronaut.jpg", generator)
    stages = tuple(
        TuningStage(15, s.blocks, 20 * s.rate, 20 * s.code_rate, s.fall) for s in
        Progressive.original(task).stages
    )  # fmt: skip
    observed = degradation(photo.image)
    made = tune(
        generator, observed, method=Progressive(stages=stages), degradation=degradation,
        progress=False,
    )  # fmt: skip
    assert float(made.psnr) > float(made.before) + 5
    whole = made.generator.synthesize(made.codes)
    probe = generator.sample(64, seed=9)
    typical = psnr(generator.synthesize(probe), photo.image.expand(64, -1, -1, -1))
    assert float(psnr(whole, photo.image)) > float(typical.max())
