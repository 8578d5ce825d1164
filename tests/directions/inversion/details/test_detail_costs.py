"""What a step of training details is made of: images drawn, and their cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from directions import TrainingSchedule
from directions.inversion.details import Consultation, DetailConfig, FeatureEditor, network_of
from directions.inversion.details import training as module
from directions.inversion.details.base import look_at, rendered
from directions.training import step_rng
from tests.directions.inversion.details.test_details import LAYER, blind, filled

SCHEDULE = TrainingSchedule(steps=4, batch_size=4, width=4)


@pytest.fixture(scope="module")
def encoder() -> Any:
    return blind()


def learner(encoder: Any, kind: Any, **given: Any) -> module._Learner:
    network = filled(network_of(DetailConfig(kind, 16, (6, 16), 4)))
    settings: dict[str, Any] = {"real": None, "features": None, "seed": 0, **given}
    return module._Learner(network, encoder, LAYER, SCHEDULE, **settings)


def test_half_of_the_samples_are_of_two_codes_and_edits_move_all_layers(encoder: Any) -> None:
    made = learner(encoder, "consultation")
    generator = encoder.generator
    images, after, edit = made.drawn(4, 7, 3, edited=True)
    one, two, other = generator.sample(12, seed=7, start=36, space="w").chunk(3)
    share = edit.norm(dim=1) / (other - one).norm(dim=1)
    torch.testing.assert_close(edit, share[:, None] * (other - one))
    assert 0 < float(share.min()) < float(share.max()) < 0.5
    wide = [generator.map(codes, "w", "w+") for codes in (one, two)]
    layers = wide[0].shape[1]
    for i in range(4):
        cuts = [layers] if i < 2 else range(1, layers)
        mixed = torch.stack([torch.cat([wide[0][i, :cut], wide[1][i, cut:]]) for cut in cuts])
        shown = generator.synthesize(mixed, "w+").clamp(-1, 1)
        apart = (shown - images[i]).abs().flatten(1).amax(1)
        assert float(apart.min()) < 1e-5
        moved = generator.synthesize(mixed + edit[i], "w+").clamp(-1, 1)
        assert float((moved[int(apart.argmin())] - after[i]).abs().max()) < 1e-5


def test_the_cost_of_consultation_is_of_a_warped_residual(encoder: Any) -> None:
    real = torch.linspace(-1, 1, 3).reshape(3, 1, 1, 1).expand(3, 3, 16, 16).contiguous()

    def features(images: Tensor) -> Tensor:
        return images.mean((2, 3))

    made = learner(encoder, "consultation", real=real, features=features)
    network = made.network
    assert isinstance(network, Consultation)
    rng = step_rng(made.stream + 1, 2)
    rows = torch.randint(3, (2,), generator=rng)
    images = torch.cat([made.drawn(4, made.stream, 2, edited=False)[0][:2], real[rows]])
    codes = encoder.predicted(images)
    look = look_at(encoder, LAYER, images, codes, codes)
    aligned = network.aligned(module.warped(look.residual, rng), look.shown)
    shown = rendered(encoder, LAYER, codes, network.consulted(aligned, look.moved))
    expected = (shown - images).square().mean() + 0.1 * (aligned - look.residual).abs().mean()
    expected = expected + 0.8 * (features(shown) - features(images)).square().sum(1).mean()
    torch.testing.assert_close(made.loss(2), expected)


def test_the_editor_learns_edits_in_the_second_half(encoder: Any) -> None:
    made = learner(encoder, "feature_editor")
    network = made.network
    assert isinstance(network, FeatureEditor)
    for step, editing in ((1, False), (2, True)):
        images, wanted, edit = made.drawn(4, made.stream, step, edited=True)
        codes = encoder.predicted(images)
        if editing:
            # Every second one stays as it is.
            edit = edit * torch.tensor([1.0, 0.0, 1.0, 0.0])[:, None]
            wanted = torch.stack([wanted[0], images[1], wanted[2], images[3]])
            look = look_at(encoder, LAYER, images, codes, codes + edit)
            features = network.edited(network.fused(look), look)
        else:
            edit, wanted = torch.zeros_like(edit), images
            features = network.fused(look_at(encoder, LAYER, images, codes, codes))
        shown = rendered(encoder, LAYER, codes + edit, features)
        network.zero_grad()
        cost = made.loss(step)
        torch.testing.assert_close(cost, (shown - wanted).square().mean())
        cost.backward()
        for part, learns in ((network.fuser, not editing), (network.editor, editing)):
            assert any(p.grad is not None for p in part.parameters()) == learns
