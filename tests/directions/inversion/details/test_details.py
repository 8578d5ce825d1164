"""Details of images beside codes: definitions, planted residuals, edits, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

from directions import TrainingSchedule, load_generator
from directions.errors import CheckpointError, LatdirError, SpaceError
from directions.inversion.details import (
    Consultation,
    DetailConfig,
    Details,
    FeatureEditor,
    Look,
    load_details,
    network_of,
    save_details,
    train_details,
)
from directions.inversion.details.base import look_at, rendered
from directions.inversion.details.training import warped
from directions.inversion.encoders import CompactConfig, CompactEncoder, Encoder
from directions.inversion.objective import psnr
from directions.progress import progress_bars
from directions.scoring.activations import layer_activations
from latdir.cli import app
from tests.styles import small_stylegan1, small_stylegan2

LAYER = "leaky_relu.4"
SHORT = TrainingSchedule(steps=2, batch_size=2, width=4)


@pytest.fixture(autouse=True)
def few_images_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("directions.inversion.details.training.HELD_OUT", 2)
    monkeypatch.setattr("directions.training.averaged.REPORTS", 2)


def blind(generator=None) -> Encoder:
    """An encoder that says the mean of every image."""
    generator = generator or small_stylegan2()
    network = CompactEncoder(CompactConfig(16, (12,), (4, 8)), torch.eye(12))
    mean = generator.prior("w").mean
    return Encoder(network, generator, space="w", mean=mean, size=16, name="blind")


def look(channels: int = 3, side: int = 4, images: int = 8) -> Look:
    draw = torch.Generator().manual_seed(0)
    sizes = [(2, 3, images, images)] * 3 + [(2, channels, side, side)] * 2
    return Look(*(torch.randn(*size, generator=draw) for size in sizes))


def filled(network: nn.Module) -> nn.Module:
    """Weights none of which is zero."""
    draw = torch.Generator().manual_seed(1)
    for weight in network.parameters():
        weight.data = 0.2 * torch.randn(weight.shape, generator=draw)
    return network


def test_consultation_is_a_scale_and_a_shift_of_the_aligned_residual() -> None:
    network, seen = Consultation(DetailConfig("consultation", 8, (3, 4), 4)), look()
    assert torch.equal(network(seen), seen.moved)
    assert torch.equal(network.aligned(seen.residual, seen.shown), seen.residual)
    filled(network)
    with torch.no_grad():
        aligned = network.aligned(seen.residual, seen.shown)
        assert not torch.allclose(aligned, network.aligned(seen.residual, seen.images))
        read = network.read(functional.pixel_unshuffle(aligned, 2))
        expected = seen.moved * (1 + network.scale(read)) + network.shift(read)
        torch.testing.assert_close(network(seen), expected)


def test_the_editor_moves_fused_features_by_what_the_edit_changes() -> None:
    network, seen = FeatureEditor(DetailConfig("feature_editor", 8, (3, 4), 4)), look()
    torch.testing.assert_close(network(seen), seen.moved)
    filled(network)
    with torch.no_grad():
        own = network.inverter(functional.pixel_unshuffle(seen.images, 2))
        fused = seen.features + network.fuser(torch.cat([own, seen.features], 1))
        change = seen.moved - seen.features
        expected = fused + change + network.editor(torch.cat([fused, change], 1))
        torch.testing.assert_close(network(seen), expected)


def test_features_before_and_after_an_edit_are_looked_at() -> None:
    encoder = blind()
    generator = encoder.generator
    codes, moved = generator.sample(4, seed=1, space="w").chunk(2)
    images = generator.synthesize(moved, "w").detach()
    seen, features = (
        look_at(encoder, LAYER, images, codes, moved),
        layer_activations(generator, layer=LAYER, space="w"),
    )
    torch.testing.assert_close(seen.features, features(codes))
    torch.testing.assert_close(seen.moved, features(moved))
    torch.testing.assert_close(seen.residual, images - generator.synthesize(codes, "w"))
    torch.testing.assert_close(seen.shown, images)
    # The features of one code with the later styles of another.
    made = rendered(encoder, LAYER, moved, features(codes))
    assert not torch.allclose(made, images)
    torch.testing.assert_close(rendered(encoder, LAYER, moved, features(moved)), images)


def test_a_warp_is_a_perspective_of_one_image_by_itself() -> None:
    ramp = torch.linspace(-1, 1, 32).expand(20, 3, 32, 32)
    images = torch.stack([ramp[:, 0], ramp[:, 0].mT, torch.ones(20, 32, 32)], 1)
    made = warped(images, torch.Generator().manual_seed(0))
    still = (made - images).abs().flatten(1).amax(1) < 1e-4
    assert 0 < int(still.sum()) < 8
    # Colors are where a pixel comes from: corners within 0.15 of theirs, lines stay lines.
    middle = made[:, :2, 3:-3, 3:-3]
    assert float((middle - images[:, :2, 3:-3, 3:-3]).abs().max()) < 0.15 * 1.5
    places = made[~still][:, :2, 3:-3, 16]
    first, last, half = places[..., 0], places[..., -1], places[..., 12]
    line, point = last - first, half - first
    assert float((line[:, 0] * point[:, 1] - line[:, 1] * point[:, 0]).abs().max()) < 0.01


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("consultation", 12),
        pytest.param("consultation", 60, marks=pytest.mark.slow),
        pytest.param("feature_editor", 60, marks=pytest.mark.slow),
    ],
)
def test_what_codes_lose_is_learned(kind: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder knows nothing: all there is comes through the features."""
    monkeypatch.setattr("directions.inversion.details.training.HELD_OUT", 8)
    schedule = TrainingSchedule(steps=steps, batch_size=4, width=8, rate=1e-2)
    with progress_bars(False):
        made = train_details(blind(), LAYER, kind=kind, schedule=schedule)
    first, last = made.progress[0], made.progress[-1]
    assert first.psnr == pytest.approx(first.encoder, abs=1e-3)
    assert first.edited == pytest.approx(first.edited_encoder, abs=1e-3)
    assert last.psnr > last.encoder + (2 if steps == 60 else 0.3)
    assert last.edited > last.edited_encoder + (1 if steps == 60 else 0.1)


def test_a_run_goes_on_and_files_hold_what_was_learned(tmp_path: Path) -> None:
    encoder = blind()
    images = encoder.generator.synthesize(encoder.generator.sample(3, seed=5)).detach().clamp(-1, 1)
    settings = {"schedule": SHORT, "images": images, "features": lambda x: x.mean((2, 3))}
    with progress_bars(False):
        whole = train_details(encoder, LAYER, **settings).details
        again = train_details(encoder, LAYER, checkpoint=tmp_path / "run", **settings).details
        kept = train_details(encoder, LAYER, checkpoint=tmp_path / "run", **settings).details
    assert whole.fingerprint == again.fingerprint == kept.fingerprint
    path = tmp_path / "a.details"
    save_details(whole, path)
    read = load_details(path, encoder=encoder)
    assert (read.layer, read.name) == (LAYER, "details")
    torch.testing.assert_close(read.render(images), whole.render(images), rtol=0, atol=1e-2)
    other = Encoder(
        encoder.network, small_stylegan2(seed=3), space="w", mean=encoder.mean, size=16, name="b"
    )
    with pytest.raises(
        CheckpointError, match=r"has details of small_stylegan2 .*, and small_.* is another"
    ):
        load_details(path, encoder=other)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"a\.details is not a readable details file"):
        load_details(path, encoder=encoder)


def test_bad_input_has_one_line() -> None:
    encoder = blind()
    images = encoder.generator.synthesize(encoder.generator.sample(2, seed=5)).detach().clamp(-1, 1)
    details = Details(
        network_of(DetailConfig("consultation", 16, (6, 16), 4)), encoder, layer=LAYER, name="a"
    )
    with pytest.raises(
        SpaceError, match=r"moved has shape \[1, 12\], not .* with n = 2 as in images"
    ):
        details.render(images, encoder.encode(images)[:1])
    with pytest.raises(LatdirError, match=r"images for small_stylegan2 are \[n, 3, 16, 16\]"):
        details.render(images[:, :, :8, :8])
    with pytest.raises(LatdirError, match=r"runs no layer 'leaky_relu\.99'"):
        train_details(encoder, "leaky_relu.99", schedule=SHORT)
    with pytest.raises(LatdirError, match=r"linear\.0 of small_stylegan2 makes .*, no maps"):
        train_details(encoder, "linear.0", schedule=SHORT)
    with pytest.raises(LatdirError, match="features of 5 pixels do not divide images of 16"):
        DetailConfig("consultation", 16, (6, 5))
    with pytest.raises(
        LatdirError, match=r"of \[6, 16\] features .* and leaky_relu\.0 of small_sty"
    ):
        Details(details.network, encoder, layer="leaky_relu.0", name="a")
    assert details.device == encoder.device
    assert "details a at leaky_relu.4" in repr(details)


def test_other_generators_too() -> None:
    encoder = blind(small_stylegan1())
    with progress_bars(False):
        made = train_details(encoder, "leaky_relu.4", schedule=SHORT)
    assert isinstance(made.details.network, Consultation)


def test_a_layer_goes_by_one_name_from_the_first_look_on() -> None:
    """Codes of w are first compared with those of p, which no operation of the network is."""
    generator = load_generator("styleface64")
    seen = layer_activations(generator, layer="leaky_relu.6", space="w")
    assert seen(generator.sample(1, seed=1, space="w")).shape == (1, 64, 32, 32)


@pytest.mark.parametrize("kind", ["consultation", "feature_editor"])
def test_built_in_details_follow_edits(kind: str) -> None:
    details = load_details(f"styleface64/{kind}")
    generator, encoder = details.generator, details.encoder
    one, other = generator.sample(2, seed=3, space="w").split(1)
    wide = generator.map(torch.cat([one, other]), "w", "w+")
    # Of one code to the fifth layer, of another from there on: no code of w makes it.
    mixed = torch.cat([wide[:1, :5], wide[1:, 5:]], 1)
    edit = 0.3 * (generator.sample(1, seed=4, space="w") - one)
    image, truth = (
        generator.synthesize(c, "w+").clamp(-1, 1) for c in (mixed, mixed + edit[:, None])
    )
    codes = encoder.predicted(image)
    for moved, wanted, gain in ((codes, image, 4.0), (codes + edit, truth, 1.0)):
        plain = generator.synthesize(moved, "w")
        assert psnr(details.render(image, moved), wanted) > psnr(plain, wanted) + gain


def test_the_built_in_feature_editor_makes_what_no_code_makes() -> None:
    details = load_details("styleface64/feature_editor")
    generator, encoder = details.generator, details.encoder
    images = generator.synthesize(generator.sample(4, seed=3, space="w"), "w")
    # Shifted by an eighth.
    images = functional.pad(images, (8, 0, 0, 0), mode="reflect")[..., :64].clamp(-1, 1)
    plain = generator.synthesize(encoder.encode(images), "w")
    assert float((psnr(details.render(images), images) - psnr(plain, images)).min()) > 5


@pytest.mark.slow
def test_the_command_trains_details(tmp_path: Path) -> None:
    out = tmp_path / "d.safetensors"
    line = f"train details --generator digiface64 --layer relu.2 --steps 1 --out {out}"
    made = CliRunner().invoke(app, [*line.split(), "--batch-size", "1", "--width", "4", "--json"])
    assert made.exit_code == 0, made.output
    assert [row["step"] for row in json.loads(made.stdout)["progress"]] == [0, 1]
    assert load_details(out).layer == "relu.2"
