"""Attribute channels and local channels on a generator whose channels are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from directions import LatdirError
from directions.classifiers.base import Attribute, Classifier
from directions.generators.base import Generator
from directions.space import Space
from discovery.jacobian.local_channels import LocalChannels, region_energy
from discovery.supervised.stylespace import StyleSpace, relevance
from tests.styles import small_stylegan2

PATCHES = 16


class Patchwork(Generator):
    """Styles that follow from z linearly; each of 16 brightens one 4×4 patch, the last two all."""

    name = "patchwork"
    fingerprint = "0" * 64
    image_shape = (3, 16, 16)

    def __init__(self) -> None:
        names = ("first", "second", "last.torgb")
        self.spaces = {
            "z": Space("z", (24,)),
            "s": Space("s", (PATCHES + 2,), layers=((0, 6), (6, 16), (16, 18))),
        }
        self._names = names
        rng = torch.Generator().manual_seed(0)
        # Channels vary by very different amounts, and are all correlated.
        self.mixing = torch.randn(24, PATCHES + 2, generator=rng) / 5
        self.scales = torch.logspace(-1, 1, PATCHES + 2)

    @property
    def style_names(self) -> tuple[str, ...]:
        return self._names

    def _map(self, codes: Tensor, source: str, target: str) -> Tensor:
        return codes @ self.mixing * self.scales + 1

    def synthesize(self, codes: Tensor, space: str = "z") -> Tensor:
        styles = codes if space == "s" else self._map(codes, "z", "s")
        light = (styles - 1) / self.scales / 4
        patches = light[:, :PATCHES].reshape(-1, 1, 4, 4).repeat_interleave(4, 2)
        image = (
            patches.repeat_interleave(4, 3) + 0.1 * light[:, PATCHES:].sum(1)[:, None, None, None]
        )
        return image.tanh().expand(-1, 3, -1, -1)


class Brightness(Classifier):
    """Mean brightness of chosen patches."""

    name = "brightness"
    fingerprint = "1" * 64
    attributes = (Attribute("patch_3"), Attribute("patch_9"), Attribute("dark_12"))
    differentiable = True

    def __call__(self, images: Tensor) -> Tensor:
        means = torch.nn.functional.avg_pool2d(images, 4).mean(1).flatten(1)
        return torch.stack([means[:, 3], means[:, 9], -means[:, 12]], 1)


def test_each_attribute_finds_its_own_channel_with_its_sign() -> None:
    bank = StyleSpace(n_codes=1000, n_directions=2, candidates=8, verify=8).discover(
        Patchwork(), classifier=Brightness()
    )
    assert len(bank) == 6
    for name, layer, channel, index, sign in (
        ("patch_3", "first", 3, 3, 1.0),
        ("patch_9", "second", 3, 9, 1.0),
        ("dark_12", "second", 6, 12, -1.0),
    ):
        best = bank[f"{name}:{layer}:{channel}"]
        assert best.space == "s"
        assert best.vector.nonzero().flatten().tolist() == [index]
        assert float(best.vector[index]) == sign
        assert best.evidence["index"] == index
        assert best.evidence["effect"] > 0.5
        assert best.evidence["specificity"] > 0.95
        first = next(d for d in bank.directions if d.name.startswith(name))
        assert first.name == best.name
        deviation = Patchwork().sample(20_000, seed=9, space="s")[:, index].std()
        assert best.sigma == pytest.approx(float(deviation), rel=0.03)


def test_without_trying_the_order_is_that_of_theta() -> None:
    bank = StyleSpace(n_codes=1000, n_directions=3, verify=0).discover(
        Patchwork(), classifier=Brightness(), attributes=["patch_9"]
    )
    thetas = [d.evidence["theta"] for d in bank.directions]
    assert thetas == sorted(thetas, reverse=True)
    assert bank.directions[0].evidence["index"] == 9
    assert "effect" not in bank.directions[0].evidence


def test_examples_of_ones_own_take_the_classifiers_place() -> None:
    generator = Patchwork()
    codes = generator.sample(400, seed=5, space="s")
    mine = codes[codes[:, 5].topk(20).indices]
    bank = StyleSpace(n_codes=100, n_directions=1, verify=0).discover(
        generator, classifier=Brightness(), attributes=["patch_3"], positives={"patch_3": mine}
    )
    assert bank.directions[0].name == "patch_3:first:5"
    with pytest.raises(LatdirError, match="1 example has no spread: give at least 2"):
        StyleSpace(n_codes=100).discover(
            generator, classifier=Brightness(), positives={"patch_3": mine[:1]}
        )
    with pytest.raises(LatdirError, match=r"not \[20, 24\], which looks like 'z'"):
        StyleSpace(n_codes=100).discover(
            generator, classifier=Brightness(), positives={"patch_3": torch.zeros(20, 24)}
        )


def test_relevance_is_the_papers_formula() -> None:
    rng = torch.Generator().manual_seed(0)
    examples = torch.randn(12, 5, generator=rng) * 3 + 1
    mean, spread = torch.randn(5, generator=rng), torch.rand(5, generator=rng) + 0.5
    spread[2] = 0
    got = relevance(examples, mean, spread)
    for u in (0, 1, 3, 4):
        delta = [(float(e[u]) - float(mean[u])) / float(spread[u]) for e in examples]
        average = sum(delta) / 12
        deviation = (sum((d - average) ** 2 for d in delta) / 11) ** 0.5
        assert float(got[u]) == pytest.approx(average / deviation, rel=1e-4)
    assert float(got[2]) == 0


def test_color_layers_count_only_when_asked_for() -> None:
    settings = {"n_codes": 200, "n_directions": 18, "candidates": 18, "verify": 0}
    generator, classifier = Patchwork(), Brightness()
    for rgb, count in ((False, 16), (True, 18)):
        bank = StyleSpace(rgb=rgb, **settings).discover(
            generator, classifier=classifier, attributes=["patch_3"]
        )
        assert len(bank) == count
        assert any("torgb" in name for name in bank) == rgb


@pytest.mark.parametrize("patch", [0, 6, 15])
def test_the_channel_of_a_region_is_found(patch: int) -> None:
    top, left = 4 * (patch // 4), 4 * (patch % 4)
    box = f"{top},{left},{top + 4},{left + 4}"
    method = LocalChannels(region=box, n_directions=5, n_codes=16, active=1.0, rgb=True)
    best, *rest = method.discover(Patchwork()).directions
    assert best.evidence["index"] == patch
    assert best.evidence["inside"] == pytest.approx(1.0)
    # The other patches' channels do nothing here; the two that brighten all have a 16th here.
    assert {d.evidence["index"] for d in rest} == {16, 17}
    for direction in rest:
        assert direction.evidence["inside"] == pytest.approx(1 / 16, abs=0.04)
    mask = torch.zeros(16, 16)
    mask[top : top + 4, left : left + 4] = 1
    given = LocalChannels(n_directions=1, n_codes=16).discover(Patchwork(), mask=mask)
    assert given.directions[0].evidence["index"] == patch
    assert given.directions[0].name.startswith("mask:")


def test_energies_are_those_of_the_whole_jacobian() -> None:
    generator = small_stylegan2()
    codes = generator.sample(3, seed=0, space="s")
    masks = torch.zeros(3, 16, 16)
    masks[:, :8] = 0.5
    jacobian = torch.func.vmap(
        torch.func.jacrev(lambda code: generator.synthesize(code[None], "s")[0])
    )(codes)
    squares = jacobian.detach().square().sum(1)
    expected = [(squares * m[:, :, :, None]).sum((1, 2)).mean(0) for m in (masks, 1 - masks)]
    found = region_energy(generator, codes, masks, space="s", probes=400, seed=0)
    for got, want in zip(found, expected, strict=True):
        strong = want > want.max() * 0.05
        ratio = got[strong].float() / want[strong]
        assert float((ratio - 1).abs().max()) < 0.25
        assert float((ratio.mean() - 1).abs()) < 0.05


def test_both_run_on_a_stylegan2_and_make_editable_directions() -> None:
    generator = small_stylegan2()

    class Mean(Classifier):
        name, fingerprint = "mean", "2" * 64
        attributes = (Attribute("bright"),)

        def __call__(self, images: Tensor) -> Tensor:
            return images.mean((1, 2, 3))[:, None]

    found = StyleSpace(positives=20, n_codes=192, n_directions=2, candidates=6, verify=4).discover(
        generator, classifier=Mean()
    )
    local = LocalChannels(region="0,0,8,8", n_directions=2, n_codes=4).discover(generator)
    for direction in (*found.directions, *local.directions):
        layer, channel, index = (direction.evidence[k] for k in ("layer", "channel", "index"))
        place = generator.network.style_names.index(layer)
        assert generator.space("s").layers[place][0] + channel == index
    # The effect is what moving the codes it was tried on does, in deviations of the scores.
    best = found.directions[0]
    tried = generator.sample(4, seed=0, start=192, space="s")
    with torch.no_grad():
        scores = Mean()(generator.synthesize(generator.sample(192, seed=0, space="s"), "s"))
        up, down = (Mean()(generator.synthesize(best.shift(tried, a), "s")) for a in (1.0, -1.0))
    effect = float((up - down).mean() / 2 / scores.std())
    assert best.evidence["effect"] == pytest.approx(effect, rel=1e-3)
    assert effect > 0


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(LatdirError, match="1 positives of 2000 codes: a spread needs"):
        StyleSpace(positives=1)
    with pytest.raises(LatdirError, match="30 positives of 10 codes"):
        StyleSpace(n_codes=10)
    with pytest.raises(LatdirError, match="candidates 2 must not be fewer"):
        StyleSpace(n_directions=5, candidates=2)
    with pytest.raises(LatdirError, match="brightness has no attribute 'smile'"):
        StyleSpace().discover(Patchwork(), classifier=Brightness(), attributes=["smile"])
    with pytest.raises(LatdirError, match="name at least one attribute of patch_3"):
        StyleSpace().discover(Patchwork(), classifier=Brightness(), attributes=[])
    with pytest.raises(LatdirError, match="n_codes is 0: give at least 1"):
        LocalChannels(n_codes=0)
    with pytest.raises(LatdirError, match=r"active 0\.0 is a fraction above 0"):
        LocalChannels(active=0.0)
    with pytest.raises(LatdirError, match="no region 'hat': it is one of eyes, mouth"):
        LocalChannels(region="hat", n_codes=2).discover(Patchwork())
