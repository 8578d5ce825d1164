"""Curved paths that a network can tell apart, and the official code's numbers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from directions.errors import LatdirError
from directions.paths import WarpPath, load_path
from directions.paths.warp import warp_field
from directions.planted.world import planted
from directions.training import Checkpoint, fit
from discovery import WarpedGANSpace
from discovery.learned.contrast import contrast_loss
from discovery.learned.networks.reconstructors import LeNet
from discovery.learned.warped_gan_space import Warps
from tests.discovery.learned.test_voynov_babenko import Grainy, inside
from tests.discovery.learned.test_voynov_parity import near
from tests.parity import fixture
from tests.worlds import world

SMALL = {"n_codes": 64, "steps": 4, "batch_size": 8, "pairs": 4, "precision": "float32"}
LENET = {f"feature_extractor.{4 * i}": f"convolutions.{i}" for i in range(3)}
LENET |= {f"feature_extractor.{4 * i + 1}": f"norms.{i}" for i in range(3)}
LENET |= {"path_indices": "direction", "shift_magnitudes": "amount"}


@pytest.fixture(scope="module")
def official():
    return load_file(fixture("learned_warped") / "reference.safetensors")


def lenet(tensors, prefix, width):
    network = LeNet(6, width=width)
    state = {}
    for name in network.state_dict():
        (theirs,) = (t for t, ours in LENET.items() if name.startswith(f"{ours}."))
        state[name] = tensors[f"{prefix}.{theirs}{name.removeprefix(LENET[theirs])}"]
    network.load_state_dict(state)
    return network


def warps(tensors, prefix, *, gamma=None):
    support = tensors[f"{prefix}.SUPPORT_SETS"].reshape(6, 8, 14).clone()
    gamma = tensors[f"{prefix}.LOGGAMMA"][:, 0].exp() if gamma is None else torch.full((6,), gamma)
    return Warps(support, tensors[f"{prefix}.ALPHAS"].clone(), gamma, torch.zeros(14), 1.0)


@pytest.mark.parametrize("case", ["gammas", "fixed", "alphas", "wide"])
def test_fields_and_paths_are_the_official_ones(official, case):
    made = warps(official, case, gamma=1 / 14 if case == "fixed" else None)
    made.alphas.requires_grad_()
    z, index = official[f"{case}.z"].clone().requires_grad_(), official[f"{case}.index"]
    field = made(z, index, torch.ones(len(z))) - z
    near(field, official[f"{case}.field"])
    x = z.detach().requires_grad_()
    own = warp_field(x, made.support[index], made.alphas[index], made.log_gamma.exp()[index])
    (own * official[f"{case}.probe"]).sum().backward()
    near(x.grad, official[f"{case}.grad_z"], 1e-4)
    grads = {"SUPPORT_SETS": made.support, "LOGGAMMA": made.log_gamma, "ALPHAS": made.alphas}
    for name, parameter in grads.items():
        key = f"{case}.grad.{name}"
        if key in official:
            near(parameter.grad.reshape(official[key].shape), official[key], 1e-4)
    for sign, way in ((0.2, "forward"), (-0.2, "backward")):
        codes = [official[f"{case}.z"][:3]]
        for _ in range(12):
            with torch.no_grad():
                codes.append(made(codes[-1], index[:3], torch.full((3,), sign)))
        near(torch.stack(codes), official[f"{case}.path.{way}"])


def test_reconstructor_and_three_training_steps_are_the_official_ones(official):
    network = lenet(official, "reconstructor", 2)
    for mode in ("eval", "train"):
        network.train(mode == "train")
        got = network(*(official[f"reconstructor.x{i}"].float() for i in (1, 2)))
        near(got[0], official[f"reconstructor.{mode}.index"])
        near(got[1], official[f"reconstructor.{mode}.magnitude"])
    mover, teller = warps(official, "train.support_sets"), lenet(official, "train.reconstructor", 2)
    w, b = official["train.g.w"].float(), official["train.g.b"]
    losses = []

    def loss(step):
        z, index, amount = (official[f"train.{n}.{step}"] for n in ("z", "index", "magnitude"))
        images = [
            torch.tanh(x @ w.T + b).reshape(-1, 3, 32, 32) for x in (z, mover(z, index, amount))
        ]
        whole = contrast_loss(*teller(*images), index, amount, weight=0.25)
        losses.append(whole.detach())
        return whole

    both = torch.nn.ModuleList([mover, teller])
    adam = torch.optim.Adam(both.parameters(), lr=1e-4)
    fit(both, loss, adam, steps=3, checkpoint=Checkpoint(None, {}))
    near(torch.stack(losses), official["train.losses"][:, 2])
    after = official["train.support_sets_after.SUPPORT_SETS"].reshape(6, 8, 14)
    near(mover.support, after, 1e-4)
    near(mover.log_gamma, official["train.support_sets_after.LOGGAMMA"][:, 0], 1e-4)


def test_paths_come_back_and_keep_their_file(tmp_path):
    generator = world(dim=8, factors=3)
    method = WarpedGANSpace(n_directions=3, **SMALL)
    paths, bank = method.train(generator), method.discover(generator)
    assert list(paths) == list(bank)
    codes = generator.sample(16, seed=4)
    for name, path in paths.items():
        there = path.shift(codes, 2.0)
        torch.testing.assert_close(path.shift(there, -2.0), codes, atol=0.02, rtol=0)
        # The path bends: its end is nearer than it is long.
        assert (there - codes).norm(dim=1).mean() < 1.9999 * path.sigma
        assert bank[name].evidence["bend"] > 1e-4
        again = load_path(path.save(tmp_path / name), generator=generator)
        assert torch.equal(again.shift(codes, 1.3), path.shift(codes, 1.3))
    each = torch.linspace(-1, 1, 16)
    moved = path.shift(codes, each)
    torch.testing.assert_close(moved[3:4], path.shift(codes[3:4], float(each[3])))


def test_a_path_follows_a_gradient_to_its_peak():
    d = 3
    sets = torch.zeros(d), torch.tensor([[1.0, 0.0, 0.0]]), torch.ones(1)
    path = WarpPath("in", "z", 1.0, 1.0, 0.5, *sets, "toy", "0" * 64)
    codes = torch.randn(8, d, generator=torch.Generator().manual_seed(0))
    apart = (sets[1] - codes).norm(dim=1)
    near(path.shift(codes, apart / 2), (codes + sets[1]) / 2, 1e-5)
    there = WarpPath("in", "z", 1.0, 2.0, 0.5, *sets, "toy", "0" * 64)
    near(there.shift(codes, 0.1), codes + 0.1 * torch.nn.functional.normalize(2 * sets[1] - codes))
    flat = path.shift(sets[1], 1.0)
    assert torch.equal(flat, sets[1])  # no gradient, no step


@pytest.mark.slow
def test_paths_are_where_the_image_changes():
    generator = planted(factors=3, dim=12, nuisances=0, size=8)
    generator.__class__ = Grainy
    settings = {"n_codes": 256, "rate": 1e-2, "amount_weight": 1.0, "precision": "float32"}
    found = WarpedGANSpace(n_directions=3, steps=600, pairs=8, **settings).discover(generator)
    start = WarpedGANSpace(n_directions=3, steps=1, pairs=8, **settings).discover(generator)
    assert inside(found, generator.truth).min() > 0.85 > inside(start, generator.truth).mean()
    assert found.provenance["accuracy"] > 0.6


def test_bad_input_is_named():
    with pytest.raises(LatdirError, match="pairs 0 must be at least 1"):
        WarpedGANSpace(pairs=0)
    path = WarpedGANSpace(n_directions=2, **SMALL).train(world(dim=8, factors=3))
    path = path["warped_gan_space_00"]
    with pytest.raises(LatdirError, match="moves codes of 8 numbers, not 7"):
        path.shift(torch.zeros(1, 7), 1.0)
    with pytest.raises(LatdirError, match="has no unit 'years': use sigma, latent"):
        path.shift(torch.zeros(1, 8), 1.0, unit="years")
    sets = torch.zeros(8), torch.zeros(2, 7), torch.ones(2)
    with pytest.raises(Exception, match=r"they must be \[d\], \[s, d\] and \[s\]|Type-check"):
        WarpPath("a", "z", 1.0, 1.0, 1.0, *sets, "toy", "0" * 64)
    sets = torch.zeros(8), torch.zeros(2, 8), torch.ones(2)
    with pytest.raises(LatdirError, match=r"sigma 1.0, scale 1.0 and gamma -1.0: all three are"):
        WarpPath("a", "z", 1.0, 1.0, -1.0, *sets, "toy", "0" * 64)
