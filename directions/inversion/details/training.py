"""Training of details over an encoder, on a generator's own samples and on real images if any.

`consultation` (HFGI): the residual is warped by a random perspective (up to 0.15 of half a side,
nine times of ten) and has to be aligned again: mean squared error and features of the image, and
0.1 · mean |aligned − residual|. `feature_editor` (StyleFeatureEditor): in the first half of the
steps inverter and fuser learn to make images without an edit; in the second the editor learns, on
samples whose edited image the generator makes itself, every second time without an edit. Edits
there are steps toward other codes, where the original takes a list of directions. Half of the
samples are of two codes mixed by layer, which no code of the encoder makes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.arguments import checked
from directions.generators.checks import check_seed
from directions.inversion.details.base import Details, look_at, map_size, rendered
from directions.inversion.details.networks import (
    Consultation,
    DetailConfig,
    FeatureEditor,
    Kind,
    network_of,
)
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.learner import training_stream
from directions.inversion.encoders.recipes import TrainingSchedule
from directions.inversion.encoders.running import Running, checked_inputs
from directions.inversion.objective import psnr
from directions.scoring.features import Features
from directions.seeds import ENCODER_SEED
from directions.training import step_rng

__all__ = ["DetailProgress", "DetailTraining", "train_details"]

# Held-out images; steps of edits toward other codes, as shares of the way.
HELD_OUT, STEP = 16, 0.5
# The official weights, and warps.
FEATURES, ALIGNED = 0.8, 0.1
DISTORTION, WARPED = 0.15, 0.9


class DetailProgress(NamedTuple):
    """Where a training stood, in mean PSNR of held-out samples.

    Attributes:
        step: Steps taken.
        psnr: Of images with their details.
        encoder: Of images of the encoder's codes alone.
        edited: Of edited images with details, the generator's own edit of the sample as truth.
        edited_encoder: Of edits of the encoder's codes alone.
    """

    step: int
    psnr: float
    encoder: float
    edited: float
    edited_encoder: float


@dataclass(frozen=True, eq=False)
class DetailTraining:
    """Trained details.

    Attributes:
        details: With averaged weights.
        progress: What was measured on held-out samples on the way.
    """

    details: Details
    progress: tuple[DetailProgress, ...]

    def __repr__(self) -> str:
        last = self.progress[-1]
        return (
            f"<{self.details!r}: {last.encoder:.1f} -> {last.psnr:.1f} dB, edited "
            f"{last.edited_encoder:.1f} -> {last.edited:.1f} dB, {last.step} steps>"
        )


@checked
def train_details(
    encoder: Encoder,
    layer: str,
    *,
    kind: Kind = "consultation",
    schedule: TrainingSchedule = TrainingSchedule(),
    images: Float[Tensor, "n 3 h w"] | None = None,
    features: Features | None = None,
    checkpoint: str | PathLike[str] | None = None,
    name: str = "details",
    seed: int = 0,
) -> DetailTraining:
    """Train what puts into a layer's features what an encoder's codes lose of an image.

    Args:
        encoder: Whose codes are edited.
        layer: A name among the generator's, such as `leaky_relu.6` of a StyleGAN2 or `relu.2` of a
            DCGAN, of maps.
        kind: `consultation` (HFGI) or `feature_editor` (StyleFeatureEditor).
        schedule: How long, in what steps, and how wide.
        images: `[n, 3, H, W]` in [-1, 1], real images of the generator's size: half of each batch
            where nothing is edited.
        features: Whose squared distance is added with weight 0.8, such as `lpips_features()`.
        checkpoint: File that keeps the run; a run that was killed goes on from it and ends
            with the same bits.
        name: Of the details.
        seed: Of weights and codes.

    Returns:
        The details, and their progress on held-out samples, edited and not.

    Raises:
        LatdirError: No such layer, one that is no map, images of another size, or a checkpoint of
            another run.

    Example:
        >>> from directions import load_encoder
        >>> schedule = TrainingSchedule(steps=1, batch_size=1, width=4)
        >>> made = train_details(load_encoder("digiface64"), "relu.2", schedule=schedule)
        >>> made.details
        <details details at relu.2 over <encoder digiface64/encoder of digiface64, z>>
    """
    check_seed(seed, 0, 0)
    generator = encoder.generator
    real, inputs = checked_inputs(generator, images, features)
    size = map_size(encoder, layer)
    config = DetailConfig(kind, generator.image_shape[-1], size, schedule.width)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = network_of(config).to(generator.device)
    learner = _Learner(network, encoder, layer, schedule, real, features, seed)
    record = {**config.as_dict(), "layer": layer, "encoder": encoder.fingerprint, **inputs}
    learner.run(record | {"seed": seed}, checkpoint, title=f"details of {generator.name}")
    return DetailTraining(learner.details(name), learner.progress)


class _Learner(Running):
    """Everything that is trained, and what a step costs."""

    network: Consultation | FeatureEditor
    kept: Consultation | FeatureEditor

    def __init__(
        self,
        network: Consultation | FeatureEditor,
        encoder: Encoder,
        layer: str,
        schedule: TrainingSchedule,
        real: Tensor | None,
        features: Features | None,
        seed: int,
    ) -> None:
        super().__init__(network, steps=schedule.steps, figures=4)
        # Not modules: their weights are no part of what is trained.
        self.held: dict[str, Any] = {"encoder": encoder, "real": real}
        self.layer, self.schedule, self.features = layer, schedule, features
        self.stream = training_stream(seed)
        generator, wide = encoder.generator, f"{encoder.space}+"
        self.wide = wide if wide in generator.spaces else encoder.space
        self.held["render"] = generator.inference(space=self.wide)
        self.probes = self.drawn(HELD_OUT, ENCODER_SEED, 0)

    def drawn(
        self, count: int, seed: int, step: int, *, edited: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Images of samples that no other step sees, the same edited, and the edits of codes."""
        encoder: Encoder = self.held["encoder"]
        generator, space, rng = encoder.generator, encoder.space, step_rng(seed, step)
        drawn = generator.sample(3 * count, seed=seed, start=3 * step * count, space=space)
        one, two, other = drawn.chunk(3)
        whole = generator.map(one, space, self.wide)
        if self.wide != space:
            # Half are of one code to a layer, of another from there on.
            layers = whole.shape[1]
            cut = torch.randint(1, layers, (count,), generator=rng)
            cut[: count - count // 2] = layers
            later = torch.arange(layers) >= cut[:, None]
            mixed = generator.map(two, space, self.wide)
            whole = torch.where(later.to(whole.device)[:, :, None], mixed, whole)
        share = STEP * torch.rand(count, generator=rng).to(one)
        edit = share.reshape(-1, *[1] * (one.ndim - 1)) * (other - one)
        after = whole + (edit[:, None] if self.wide != space else edit)
        made = self.held["render"](torch.cat([whole, after]) if edited else whole)
        made = made.clone().float().clamp(-1, 1)
        return made[:count], made[count:], edit

    def loss(self, step: int) -> Tensor:
        """Of a step by number."""
        self.begin(step)
        encoder, network = self.held["encoder"], self.network
        count, rng = self.schedule.batch_size, step_rng(self.stream + 1, step)
        editing = isinstance(network, FeatureEditor) and 2 * step >= self.steps
        images, after, edit = self.drawn(count, self.stream, step, edited=editing)
        wanted = images
        if editing:
            # Every second sample stays as it is.
            still = torch.arange(count, device=images.device) % 2 == 1
            edit = torch.where(still.reshape(-1, *[1] * (edit.ndim - 1)), 0.0, edit)
            wanted = torch.where(still.reshape(-1, 1, 1, 1), images, after)
        elif self.held["real"] is not None:
            real = self.held["real"]
            rows = torch.randint(len(real), (count // 2,), generator=rng).to(real.device)
            images = wanted = torch.cat([images[: count - len(rows)], real[rows]])
        codes = encoder.predicted(images).detach()
        moved = codes + edit if editing else codes
        look = look_at(encoder, self.layer, images, codes, moved)
        extra = images.new_zeros(())
        if isinstance(network, Consultation):
            aligned = network.aligned(warped(look.residual, rng), look.shown)
            extra = ALIGNED * (aligned - look.residual).abs().mean()
            made = network.consulted(aligned, look.moved)
        elif editing:
            with torch.no_grad():
                fused = network.fused(look)
            made = network.edited(fused, look)
        else:
            made = network.fused(look)
        shown = rendered(encoder, self.layer, moved, made)
        cost = (shown - wanted).square().mean() + extra
        if self.features is not None:
            with torch.no_grad():
                truth = self.features(wanted)
            cost = cost + FEATURES * (self.features(shown) - truth).square().sum(1).mean()
        return cost

    def measured(self) -> tuple[float, ...]:
        """PSNR with details and without, of held-out samples and of edits of them."""
        details, encoder = self.details(""), self.held["encoder"]
        images, after, edit = self.probes
        codes = encoder.predicted(images)
        found = []
        for moved, truth in ((codes, images), (codes + edit, after)):
            plain = encoder.generator.synthesize(moved, encoder.space).float()
            found += [psnr(details.render(images, moved), truth), psnr(plain, truth)]
        return tuple(float(row.mean()) for row in found)

    @property
    def progress(self) -> tuple[DetailProgress, ...]:
        """What was measured so far."""
        return tuple(DetailProgress(int(step), *rest) for step, *rest in self.rows)

    @property
    def status(self) -> str:
        """The last that was measured, for the bar."""
        last = self.progress[-1] if self.progress else None
        return "" if last is None else f"{last.psnr:.1f} dB, edited {last.edited:.1f}"

    def details(self, name: str) -> Details:
        """Of the averaged weights."""
        network = copy.deepcopy(self.kept)
        return Details(network, self.held["encoder"], layer=self.layer, name=name)


def warped(images: Float[Tensor, "n c h w"], rng: torch.Generator) -> Float[Tensor, "n c h w"]:
    """Nine of ten images seen from elsewhere: their corners drawn inward by up to 0.15 / 2."""
    count = len(images)
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    inward = DISTORTION * torch.rand(count, 4, 2, generator=rng)
    inward[torch.rand(count, generator=rng) >= WARPED] = 0
    places = corners - corners.sign() * inward
    # The homography that takes a place of the result to one of the image: 8 numbers, 8 equations.
    (x, y), (u, v) = places.double().unbind(2), corners.double().expand(count, 4, 2).unbind(2)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    rows = torch.cat([
        torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], 2),
        torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], 2),
    ], 1)  # fmt: skip
    solved = torch.linalg.solve(rows, torch.cat([u, v], 1))
    matrix = torch.cat([solved, torch.ones(count, 1)], 1).reshape(count, 3, 3).to(images)
    grid = functional.affine_grid(
        torch.eye(2, 3).to(images).expand(count, 2, 3), list(images.shape), align_corners=False
    )
    whole = torch.cat([grid, torch.ones_like(grid[..., :1])], 3) @ matrix.transpose(1, 2)[:, None]
    return functional.grid_sample(images, whole[..., :2] / whole[..., 2:], align_corners=False)
