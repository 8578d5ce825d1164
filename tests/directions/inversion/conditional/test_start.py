"""The linear mixture that identities are learned from."""

import torch

from directions.classifiers.faces import faces
from directions.inversion.conditional import ConditionalEncoder, load_conditional_encoder
from directions.inversion.conditional.network import ConditionalConfig, ConditionalNetwork
from directions.inversion.conditional.start import RIDGE, linear_start
from directions.inversion.encoders import CompactConfig, CompactEncoder, Encoder
from directions.planted.world import planted


def test_a_change_takes_what_is_held_and_leaves_identity() -> None:
    draw = torch.Generator().manual_seed(0)
    codes = torch.randn(4000, 6, generator=draw)
    # Of coordinates: 0 and 1 identity, 2 and 3 held, 4 both, 5 neither.
    part = linear_start(codes, codes[:, [0, 1, 4]], [codes[:, [2, 3]], 5 * codes[:, [4]]]).turn
    assert float((part - part.diag().diag()).abs().max()) < 0.05
    kept = part.diag()
    assert float(kept[[0, 1, 5]].abs().max()) < 0.01
    assert float(kept[[2, 3]].min()) > 0.6
    # Identity at a third of its weight, held by itself: 1 / (1 + 1/3 + 1/6) before shrinkage.
    assert 0.6 < float(kept[4]) < 0.68


def test_a_change_is_the_least_of_the_cost_that_the_docstring_says() -> None:
    draw = torch.Generator().manual_seed(1)
    codes = torch.randn(200, 5, generator=draw)
    identity, held = (codes @ torch.randn(5, m, generator=draw) for m in (3, 2))
    turn, answer = linear_start(codes, identity, [held])
    z = codes - codes.mean(0)
    rows = torch.cat([z, (RIDGE * 200) ** 0.5 * torch.eye(5)])

    def slopes(y: torch.Tensor) -> torch.Tensor:
        y = torch.cat([(y - y.mean(0)) / y.std(0), torch.zeros(5, y.shape[1])])
        return torch.linalg.lstsq(rows, y).solution

    a, b = slopes(identity), slopes(held)
    change = torch.randn(5, generator=draw)
    # As one least-squares problem.
    left = torch.cat([a.T / 3**0.5, b.T / 2**0.5, torch.eye(5) / 5**0.5])
    right = torch.cat([torch.zeros(3), b.T @ change / 2**0.5, torch.zeros(5)])
    least = torch.linalg.lstsq(left, right[:, None]).solution[:, 0]
    torch.testing.assert_close(turn @ change, least, atol=1e-4, rtol=1e-4)
    # Of excesses, in the units of what is measured.
    excess = torch.randn(5, generator=draw)
    e, h = excess[:3] / identity.std(0), excess[3:] / held.std(0)
    right = torch.cat([-e / 3**0.5, -h / 2**0.5, torch.zeros(5)])
    least = torch.linalg.lstsq(left, right[:, None]).solution[:, 0]
    torch.testing.assert_close(answer @ excess, least, atol=1e-4, rtol=1e-4)


def test_an_untrained_network_moves_codes_by_the_linear_part() -> None:
    axes = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
    config = ConditionalConfig("identity", width=4, numbers=3, axes=2, hidden=8)
    network = ConditionalNetwork(config, axes, torch.zeros(3), torch.ones(3))
    network.turn = torch.tensor([[0.0, 1.0], [0.0, 0.5]])
    change = torch.tensor([[4.0, 7.0, 1.0]])
    torch.testing.assert_close(network.coordinates(change), torch.tensor([[2.0, 2.0]]))
    moved = network(torch.zeros(1, 4, 4, 4), torch.zeros(1, 3), change)
    torch.testing.assert_close(moved, torch.tensor([[4.0, 0.0, 0.5]]))


def test_codes_are_of_whom_is_asked_for_and_of_the_image_in_part() -> None:
    world = planted(factors=4, dim=6, nuisances=0, size=8)
    trunk = CompactEncoder(CompactConfig.of(world, "z", width=16), torch.eye(6), contrast=0.3)
    for p in trunk.parameters():
        p.data = torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) / 4
    encoder = Encoder(trunk, world, space="z", mean=torch.zeros(6), size=8, name="random")
    images, whose = (world.synthesize(world.sample(2, seed=seed)) for seed in (1, 2))
    own, theirs = encoder.encode(images), encoder.encode(whose)
    assert float((own - theirs).abs().min()) > 1e-3
    config = ConditionalConfig("identity", width=16, numbers=3, axes=6, hidden=8)
    network = ConditionalNetwork(config, torch.eye(6), torch.zeros(3), torch.ones(3))
    made = ConditionalEncoder(
        network, encoder, name="c", attribute="identity", embed=lambda x: x.mean((2, 3))
    )
    torch.testing.assert_close(made.encode(images, whose), theirs)
    network.turn = torch.diag(torch.tensor([1.0, 0, 0, 1, 0, 0]))
    part = torch.tensor([True, False, False, True, False, False])
    torch.testing.assert_close(made.encode(images, whose), torch.where(part, own, theirs))
    one = made.encode(images, whose[:1])
    torch.testing.assert_close(one, torch.where(part, own, theirs[:1]))


def test_a_second_look_takes_back_what_the_first_missed() -> None:
    world = planted(factors=4, dim=6, nuisances=0, size=8)
    trunk = CompactEncoder(CompactConfig.of(world, "z", width=16), torch.eye(6), contrast=0.3)
    encoder = Encoder(trunk, world, space="z", mean=torch.zeros(6), size=8, name="mean")
    read, codes = world.classifier(), world.sample(3, seed=1)
    images, whose = world.synthesize(codes), world.synthesize(world.sample(3, seed=2))
    config = ConditionalConfig("identity", 16, numbers=2, axes=6, hidden=8, measured=3)
    network = ConditionalNetwork(config, torch.eye(6), torch.zeros(2), torch.ones(2))
    made = ConditionalEncoder(
        network, encoder, name="c", attribute="identity",
        embed=lambda x: read(x)[:, 1:3], held=lambda x: read(x)[:, :1],
    )  # fmt: skip
    first = made.encode(images, whose)
    off = read(world.synthesize(first))[:, :3]
    excess = torch.cat([off[:, 1:] - read(whose)[:, 1:3], off[:, :1] - read(images)[:, :1]], 1)
    network.answer = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    expected = first + excess @ network.answer.T
    torch.testing.assert_close(made.encode(images, whose), expected, atol=1e-4, rtol=1e-4)
    # Images of another size are compared at the generator's.
    large = torch.nn.functional.interpolate(images, scale_factor=2.0)
    assert made.encode(large, whose).shape == (3, 6)


def test_built_in_identities_are_taken_and_poses_kept() -> None:
    made = load_conditional_encoder("styleface64/nitzan")
    images = made.generator.synthesize(made.generator.sample(6, seed=31, space="w"), "w")
    images = images.detach().clamp(-1, 1)
    shown = made.generator.synthesize(made.encode(images, images.roll(1, 0)), "w")
    judge = faces()
    with torch.no_grad():
        found, own = judge.embed(shown), judge.embed(images)
        yaw = torch.stack([judge.logits_of(x, ["yaw"])[:, 0] for x in (shown, images)])
    center = own.mean(0)
    wanted, other = (
        torch.nn.functional.cosine_similarity(found - center, x - center).mean()
        for x in (own.roll(1, 0), own)
    )
    assert float(wanted) > 0.4 > 0.2 > float(other)
    assert float(torch.corrcoef(yaw)[0, 1]) > 0.8
