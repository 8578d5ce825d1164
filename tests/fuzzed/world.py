"""Everything that a call of a public function may need, of one small planted generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

import analysis
from directions import (
    Direction,
    DirectionBank,
    Inversion,
    Rendering,
    WeightDirection,
    invert,
    load_generator,
)
from directions.generators.base import Generator
from directions.inversion import LevenbergMarquardt
from directions.inversion.encoders import CompactConfig, CompactEncoder, Encoder
from directions.inversion.hypernetworks import (
    Hypernetwork,
    WeightNetwork,
    WeightNetworkConfig,
    save_hypernetwork,
)
from directions.planted.clip import PlantedClip
from directions.planted.world import PlantedGenerator, planted
from discovery import Answers
from tests.analysis.measured import true_bank
from tests.directions.inversion.tuning.test_pivotal import dcgan
from tests.directions.weight_space.test_weight_space import basis_of
from tests.worlds import labeled

QUIET = Rendering(progress=False)
NAMES = ("smile", "age", "hat")


def embed(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1)


def few_steps(generator: PlantedGenerator, images: torch.Tensor) -> Inversion:
    """An inversion of few steps."""
    steps = LevenbergMarquardt(steps=3)
    return invert(generator, images, solver=steps, start="mean", restarts=0, rendering=QUIET)


def encoder() -> Encoder:
    """Of the tunable generator, untrained."""
    small, config = dcgan(), CompactConfig(8, (6,), (4,))
    network = CompactEncoder(config, torch.eye(6))
    return Encoder(network, small, space="z", mean=torch.zeros(6), size=8, name="mine")


def hypernetwork(folder: Path) -> Hypernetwork:
    """Of the same, untrained, and its file."""
    config = WeightNetworkConfig.of(dcgan(), "channel", 2, width=4)
    made = Hypernetwork(WeightNetwork(config), encoder(), name="mine")
    save_hypernetwork(made, folder / "kept_hypernetwork.safetensors")
    return made


def weight_bank(generator: Generator) -> DirectionBank:
    """A bank of one direction of the generator's weights."""
    return DirectionBank.of(
        generator, [WeightDirection.of(basis_of(generator), [1.0, 2.0, 3.0], name="a")]
    )


def world(folder: Path) -> SimpleNamespace:
    """Everything that a call may need, of one planted generator."""
    generator = planted(factors=3, dim=12, size=12, names=NAMES)
    classifier = generator.classifier()
    bank = true_bank(generator)
    codes = generator.sample(6, seed=5)
    measured = analysis.measure_curves(
        generator, classifier, bank, count=12, amounts=(-2, -1, 0, 1, 2),
        embed=embed,
        rendering=QUIET,
    )  # fmt: skip
    effects = analysis.measure_effects(generator, classifier, bank, count=12, rendering=QUIET)
    null = analysis.random_null(generator, classifier, effects, count=4)
    random = torch.Generator().manual_seed(0)
    np.save(folder / "bank.npy", bank.matrix()[:1].numpy())
    bank.save(folder / "kept.safetensors")
    samples = labeled(generator, classifier, 120)
    samples.save(folder / "kept")
    found = few_steps(generator, generator.synthesize(codes[:3]))
    styled = load_generator("styleface64")
    style = Direction.from_vector("up", torch.ones(256), space="w")
    return SimpleNamespace(
        generator=generator,
        tunable=dcgan(),
        encoder=encoder(),
        hypernetwork=hypernetwork(folder),
        weight_bank=weight_bank(dcgan()),
        styled=styled,
        style_bank=DirectionBank.of(styled, [style]),
        classifier=classifier,
        judge=generator.classifier(kind="probability"),
        clip=PlantedClip(generator),
        bank=bank,
        codes=codes,
        images=generator.synthesize(codes),
        found=found,
        again=lambda images: few_steps(generator, images),
        embed=embed,
        scores=classifier(generator.synthesize(codes)),
        samples=samples,
        answers=Answers.from_samples(
            replace(samples, scores=(samples.scores > 0).float()), "smile"
        ),
        prior=generator.prior(),
        curves=measured,
        effects=effects,
        null=null,
        noise=lambda *shape: torch.randn(*shape, generator=random),
        folder=folder,
    )
