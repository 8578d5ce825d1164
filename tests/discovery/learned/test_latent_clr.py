"""Moves whose changes are alike for all codes, and the official code's numbers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from directions.errors import LatdirError
from directions.generators import load_generator
from directions.paths import UnitStepPath, load_path
from directions.paths.unit_step import Constant, folded, step_network
from directions.planted.world import planted
from directions.training import Checkpoint, fit
from discovery import LatentCLR
from discovery.learned.latent_clr import Steps, alike_loss
from tests.discovery.learned.test_voynov_parity import near
from tests.parity import fixture
from tests.worlds import world

K, B, D = 5, 4, 16


@pytest.fixture(scope="module")
def official():
    return load_file(fixture("learned_latentclr") / "reference.safetensors")


def steps_of(tensors, prefix, form):
    if form == "fixed":
        return Steps([Constant(v.clone()) for v in tensors[f"{prefix}.params"]])
    networks = [step_network(D, 1 if form == "linear" else 3) for _ in range(K)]
    for k, network in enumerate(networks):
        state = {}
        for name in network.state_dict():
            i, _, part = name.partition(".")
            layer = "linear" if int(i) % 3 == 0 else "batchnorm"
            state[name] = tensors[f"{prefix}.nets.{k}.{layer}_{int(i) // 3 + 1}.{part}"]
        network.load_state_dict(state)
    return Steps(networks)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("absolute", [True, False])
def test_loss_is_the_official_one(official, temperature, absolute):
    """The official temperature multiplies cosines, which are dot products of given features."""
    prefix = f"loss.temp{temperature}.{'abs' if absolute else 'signed'}.mean"
    x = official["loss.features"].clone().requires_grad_()
    loss, ratios = alike_loss(x.reshape(K, B, -1), temperature=1 / temperature, absolute=absolute)
    near(loss, official[f"{prefix}.loss"])
    near((ratios > 0).float().mean(), official[f"{prefix}.accuracy"])
    loss.backward()
    near(x.grad, official[f"{prefix}.grad"], 1e-4)


@pytest.mark.parametrize("form", ["fixed", "linear", "nonlinear"])
def test_models_are_the_official_ones_and_fold_into_paths(official, form):
    z = official["models.z"]
    steps = steps_of(official, f"models.{form}", form)
    near((z + 0.1 * steps.train()(z)).flatten(0, 1), official[f"models.{form}.unit.train"])
    steps = steps_of(official, f"models.{form}", form).eval()
    wanted = official[f"models.{form}.unit.eval"]
    if form != "nonlinear":  # whose statistics the train-mode call before had updated
        near((z + 0.1 * steps(z)).flatten(0, 1), wanted)
        near((z + 0.1 * steps(z))[2], official[f"models.{form}.unit.single2"])
    for k, network in enumerate(steps.networks):
        path = UnitStepPath("a", "z", 1.0, *folded(network), "toy", "0" * 64)
        near(path.shift(z, 0.7, unit="latent"), z + 0.7 * steps(z)[k])


@pytest.mark.parametrize("form", ["fixed", "linear", "nonlinear"])
def test_four_training_steps_are_the_official_ones(official, form):
    steps = steps_of(official, f"train.{form}.model", form)
    w, b = official["train.g.w"], official["train.g.b"]
    losses = []

    def features(z):
        return normalize(torch.tanh(z @ w.T + b))

    def loss(step):
        z = official[f"train.{form}.z.{step}"]
        moved = z + 0.5 * steps(z)
        after = features(moved.flatten(0, 1)).reshape(K, B, -1)
        value, _ = alike_loss(normalize(after - features(z), dim=2), temperature=2.0)
        losses.append(value.detach())
        return value

    adam = torch.optim.Adam(steps.parameters(), lr=1e-3, weight_decay=1e-3)
    fit(
        steps, loss, adam, steps=4, checkpoint=Checkpoint(None, {}),
        schedule=lambda done: 0.2 ** (done >= 0.5),
    )  # fmt: skip
    near(torch.stack(losses), official[f"train.{form}.accuracy_loss"][:, 1])
    after = steps_of(official, f"train.{form}.model_after", form)
    for (name, got), want in zip(steps.named_parameters(), after.parameters(), strict=True):
        # A bias before a normalization has no gradient but rounding.
        slack = 6e-3 if form == "nonlinear" and name.endswith(("0.bias", "3.bias")) else 1e-4
        near(got, want, slack)


@pytest.mark.parametrize("form", ["global", "linear", "nonlinear"])
def test_paths_keep_their_file_and_runs_are_identical(form, tmp_path):
    generator = world(dim=8, factors=3)
    method = LatentCLR(n_directions=3, form=form, steps=3, batch_size=4, precision="float32")
    paths, bank = method.train(generator, seed=2), method.discover(generator, seed=2)
    again = method.discover(generator, seed=2, checkpoint=tmp_path / "run")
    assert torch.equal(bank.matrix(), again.matrix())
    assert torch.equal(
        method.discover(generator, seed=2, checkpoint=tmp_path / "run").matrix(), bank.matrix()
    )
    codes = generator.sample(8, seed=4)
    for name, path in paths.items():
        assert bank[name].evidence["bend"] == pytest.approx(0, abs=1e-5)
        assert (bank[name].evidence["agreement"] > 0.9999) == (form == "global")
        kept = load_path(path.save(tmp_path / name), generator=generator)
        assert torch.equal(kept.shift(codes, 1.3), path.shift(codes, 1.3))
        moved = (path.shift(codes, 1.3, unit="latent") - codes).norm(dim=1)
        torch.testing.assert_close(moved, torch.full((8,), 1.3))


def test_directions_are_told_apart_in_a_planted_world():
    """Changes of the three factors that are seen are orthogonal after training."""
    generator = planted(factors=3, dim=8, nuisances=0, size=8)
    settings = {"n_directions": 3, "batch_size": 8, "precision": "float32", "rate": 0.05}
    bank = LatentCLR(steps=150, **settings).discover(generator)
    blind = LatentCLR(steps=1, **settings).discover(generator)
    overlap = []
    for found in (bank, blind):
        unit = normalize(found.matrix() @ generator.truth.T)  # of the factors, by direction
        overlap.append(float((unit @ unit.T - torch.eye(3)).abs().max()))
    assert overlap[0] < 0.25 < overlap[1], overlap


def test_a_layer_takes_the_place_of_the_image():
    generator = load_generator("digiface64")
    method = LatentCLR(n_directions=2, steps=2, batch_size=2, layer="relu.0")
    assert not torch.equal(
        method.discover(generator).matrix(),
        LatentCLR(n_directions=2, steps=2, batch_size=2, layer="relu.1")
        .discover(generator)
        .matrix(),
    )


def test_bad_input_is_named():
    with pytest.raises(LatdirError, match="temperature 0 must be above 0"):
        LatentCLR(temperature=0.0)
    with pytest.raises(LatdirError, match="give at least 2 of each, for changes are compared"):
        LatentCLR(n_directions=1)
    with pytest.raises(LatdirError, match="runs no layer 'conv9' when it makes images"):
        LatentCLR(layer="conv9", steps=1).discover(load_generator("digiface64"))
    layer = (torch.eye(3), torch.zeros(4, 3)), (torch.zeros(3), torch.zeros(4))
    with pytest.raises(LatdirError, match="layers must follow on each other, from a code's"):
        UnitStepPath("a", "z", 1.0, *layer, "toy", "0" * 64)
    path = UnitStepPath("a", "z", 1.0, (torch.eye(3),), (torch.zeros(3),), "toy", "0" * 64)
    with pytest.raises(LatdirError, match="has no unit 'years': use sigma, latent"):
        path.shift(torch.zeros(1, 3), 1.0, unit="years")
    with pytest.raises(LatdirError, match="moves codes of 3 numbers, not 2"):
        path.shift(torch.zeros(1, 2), 1.0)
