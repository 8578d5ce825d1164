"""Directions to targets: planted truth, what content costs, and the official code's numbers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import discovery.learned.latent2im as latent2im
from directions.classifiers.base import Attribute, Classifier
from directions.errors import LatdirError
from directions.planted.world import planted
from discovery import Latent2im
from discovery.learned.latent2im import latent2im_loss
from discovery.learned.targets import walked
from tests.discovery.learned.test_voynov_parity import near
from tests.parity import fixture
from tests.worlds import world

SMALL = {"n_codes": 64, "steps": 100, "rate": 1.0, "precision": "float32", "progress": False}


@pytest.mark.parametrize("name", ["anisotropic", "entangled", "curved"])
def test_each_attribute_goes_to_its_target_and_the_others_stay(name):
    generator = world(name, dim=12, factors=3)
    bank = Latent2im(**SMALL).discover(generator, classifier=generator.classifier())
    codes = generator.sample(64, seed=9)
    before = generator.factors(codes)
    for k, direction in enumerate(bank.directions):
        assert direction.evidence["reached"] > 0.75
        assert direction.evidence["others"] < 0.1
        change = (generator.factors(direction.shift(codes, 1.0)) - before).mean(0)
        assert change[k] > 0.3
        assert change[[j for j in range(3) if j != k]].abs().max() < 0.1 * change[k]


class Either(Classifier):
    """One attribute, which either of two factors raises."""

    name, fingerprint, differentiable = "either", "5" * 64, True
    attributes = (Attribute("a"),)

    def __init__(self, of):
        self.of = of

    def __call__(self, images):
        return self.of(images).sum(1, keepdim=True)


def test_content_is_kept_where_the_attribute_can_change_without_it():
    """Of two factors that raise the attribute, the one that changes the image less is taken."""
    generator = planted(factors=2, dim=6, nuisances=0, size=8, gains=[1.0, 4.0])
    classifier = Either(generator.classifier())
    shares = []
    for weight in (0.0, 30.0):
        found = Latent2im(content=weight, **SMALL).discover(generator, classifier=classifier)["a"]
        shares.append((found.vector @ generator.truth.T).tolist())
        assert found.evidence["reached"] > 0.8
    assert shares[0][1] == pytest.approx(shares[0][0], abs=0.15)  # the gradient of the score
    assert shares[1][1] < 0.1 * shares[1][0]


def test_an_attribute_weighs_as_much_for_being_one_of_many():
    generator = planted(factors=8, dim=12, nuisances=0, size=8)
    method = Latent2im(content=30.0, **SMALL | {"steps": 60})
    for names in (["factor_1"], None):
        bank = method.discover(generator, classifier=generator.classifier(), attributes=names)
        assert min(d.evidence["reached"] for d in bank.directions) > 0.75


def test_a_steep_attribute_does_not_hold_up_the_others():
    walks = latent2im._Walks(torch.zeros(3, 2))
    walks.T.grad = torch.tensor([[0.3, 0.4], [0.0, 0.0], [30.0, 40.0]])
    walks.shorten()
    torch.testing.assert_close(walks.T.grad, torch.tensor([[0.3, 0.4], [0.0, 0.0], [0.6, 0.8]]))
    # One step, at a fiftieth of the rate, from gradients that are all too long: 5 for each walk.
    generator = world(dim=8, factors=3)
    method = Latent2im(**SMALL | {"steps": 1, "rate": 250.0, "regression": 1e6, "batch_size": 32})
    bank = method.discover(generator, classifier=generator.classifier())
    for direction in bank.directions:
        assert direction.evidence["length"] == pytest.approx(5.0, rel=0.05)


def test_a_discriminator_holds_images_where_they_are_taken_for_real():
    generator = world(dim=8, factors=3)
    judge = generator.classifier()
    given = {"classifier": judge, "attributes": ["factor_0"]}
    plain = Latent2im(**SMALL).discover(generator, **given)["factor_0"]
    method = Latent2im(realism=10.0, discriminator=lambda x: 1 - judge(x)[:, 0] ** 2, **SMALL)
    held = method.discover(generator, **given)["factor_0"]
    assert float(plain.vector @ generator.truth[0]) > 0.99
    assert float(held.vector @ generator.truth[0]) > 0.99
    assert held.evidence["length"] < 0.8 * plain.evidence["length"]


def test_a_run_is_the_same_again_and_goes_on(tmp_path, monkeypatch):
    import directions.training.loop as loop

    monkeypatch.setattr(loop, "EVERY", 0.0)
    generator = world(dim=8, factors=3)
    given = {"classifier": generator.classifier(), "seed": 4}
    method, file = Latent2im(**SMALL | {"steps": 12}), tmp_path / "run"
    whole, draw = method.discover(generator, **given), latent2im.step_rng

    def killed(seed, step):
        if step == 7:
            raise KeyboardInterrupt
        return draw(seed, step)

    with monkeypatch.context() as patched:
        patched.setattr(latent2im, "step_rng", killed)
        with pytest.raises(KeyboardInterrupt):
            method.discover(generator, checkpoint=file, **given)
    for _ in range(2):
        again = method.discover(generator, checkpoint=file, **given)
        assert torch.equal(again.matrix(), whole.matrix())
    with pytest.raises(LatdirError, match=r"keeps a training with attributes \['factor_0', 'fact"):
        method.discover(generator, attributes=["factor_1"], checkpoint=file, **given)


@pytest.fixture(scope="module")
def official():
    return load_file(fixture("learned_latent2im") / "reference.safetensors")


def test_walk_and_loss_are_the_official_ones(official):
    rows = official["walk.in"][:, None].expand(-1, 14, -1)
    got = walked(rows, official["walk.alpha"], official["walk.w"])
    near(got.transpose(0, 1), official["walk.out"])
    near(
        latent2im_loss(
            official["loss.pred"], official["loss.target"], torch.zeros(4, 1), regression=1.0
        ),
        official["loss.bce"],
    )


def test_three_training_steps_are_the_official_ones(official):
    """Features are the outputs of four convolutions, so scaled that squares are means."""
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(),
        nn.Conv2d(5, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 5, 3, padding=1),
    ).requires_grad_(False)  # fmt: skip
    layers.load_state_dict({n: official[f"step.features.{n}"] for n in layers.state_dict()})
    mean, std = (torch.tensor(v)[:, None, None] for v in
                 ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))  # fmt: skip

    def features(images):
        x, found = (images - mean) / std, []
        for layer in layers[:8]:
            x = layer(x)
            if isinstance(layer, nn.Conv2d):
                found.append(x.flatten(1) / (4 * x[0].numel()) ** 0.5)
        return torch.cat(found, 1)

    def images(rows):
        return torch.tanh(rows.mean(1) @ official["step.g"].T).reshape(-1, 3, 8, 8)

    def told(made):
        return torch.sigmoid(made.flatten(1) @ official["step.regressor"].T)

    walks = official["walk.w"].clone().requires_grad_()
    adam = torch.optim.Adam([walks], lr=1e-4, betas=(0.5, 0.99))
    codes = official["walk.in"][:, None].expand(-1, 14, -1)
    before, target, losses = images(codes), official["step.target"], []
    near(told(before), official["step.predicted"])
    for _ in range(3):
        made = images(walked(codes, target - told(before), walks))
        loss = latent2im_loss(
            told(made),
            target,
            features(made) - features(before),
            real=(made.flatten(1) @ official["step.d"].T)[:, 0],
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.detach())
    near(torch.stack(losses), official["step.losses"])
    near(walks, official["step.w_after"])


class Blind(Classifier):
    """The same for every image."""

    name, fingerprint, differentiable = "blind", "4" * 64, True
    attributes = (Attribute("a"),)

    def __call__(self, images):
        return 0 * images.mean((1, 2, 3))[:, None]


def test_bad_input_is_named():
    generator = world(dim=8, factors=3)
    with pytest.raises(LatdirError, match="rate 0 must be above 0"):
        Latent2im(rate=0.0)
    with pytest.raises(LatdirError, match="n_codes is 1: attributes are standardized over 2 or"):
        Latent2im(n_codes=1)
    with pytest.raises(LatdirError, match="attribute 'a' is the same for all 64 codes: leave it"):
        Latent2im(**SMALL).discover(generator, classifier=Blind())
    for tool in ("features", "discriminator"):
        method = Latent2im(**SMALL | {"steps": 1}, **{tool: lambda images: 3})
        with pytest.raises(LatdirError, match=f"{tool} returned 3, not a tensor"):
            method.discover(generator, classifier=generator.classifier())
