"""Valid discoveries by each method, and calls of the methods of models, banks and samples."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

import directions
import discovery
from directions import Direction, DirectionBank
from directions.classifiers import OnnxInput, load_onnx
from directions.scoring.features import pixel_features
from discovery.base import Method
from tests.directions.classifiers.onnx_files import write
from tests.fuzzed.world import NAMES

BOUND = (
    "Generator.sample", "Generator.synthesize", "Generator.map", "Generator.prior", "Classifier",
    "Classifier.logits", "pixels", "Direction.shift", "Direction.check", "Direction.from_vector",
    "DirectionBank.of", "DirectionBank.select", "DirectionBank.merge", "DirectionBank.check",
    "DirectionBank.transfer", "DirectionBank.widened", "DirectionBank.save", "DirectionBank.load",
    "WeightDirection.of", "WeightDirection.deltas", "WeightDirection.applied", "Prior.fit",
    "Prior.sigma", "Answers.of", "Answers.from_samples", "Samples.from_arrays",
    "Samples.from_frame", "Samples.from_images",
    "Samples.rows", "Samples.save", "Samples.load", "DirectionBank.save_pretrained",
    "DirectionBank.from_pretrained",
)  # fmt: skip
# Those of extras, where they are installed.
WITH_ONNX = all(map(find_spec, ("onnx", "onnxruntime")))
WITH_HUB = find_spec("huggingface_hub") is not None
BOUND += ("load_onnx",) * WITH_ONNX + ("DirectionBank.push_to_hub",) * WITH_HUB


def brightness(images: torch.Tensor) -> torch.Tensor:
    return images.mean((1, 2, 3))


# Settings small enough for a call of some milliseconds; others keep their defaults.
SMALL = {"n_codes": 16, "steps": 2, "n_directions": 2, "batch_size": 8, "bootstrap": 4}
SPECIAL = {
    "StyleSpace": {"n_codes": 60, "verify": 2, "candidates": 3},
    "ClipOptimize": {"steps": 20, "distance": 0.0, "identity": 0.0, "n_codes": 2},
    "ClipBoundary": {"n_codes": 120},
    "Teach": {"n_codes": 64, "features": "pixels"},
    "Region": {"region": "2,2,6,6", "solver": "alone"},
    "LocalChannels": {"region": "2,2,6,6"},
    "Transforms": {"transforms": "zoom", "n_codes": 112},
    "Walks": {"transforms": "red,green", "reach": 0.1, "steps": 60},
    "FeatureRegression": {"n_codes": 24, "embed": pixel_features},
    "HessianPenalty": {"n_codes": 4},
    "OroJaR": {"n_codes": 4},
    "Latent2im": {"features": pixel_features, "discriminator": brightness},
    "WeightContrast": {"n_changes": 3, "basis": "svd"},
}


def methods(w: SimpleNamespace) -> dict[str, tuple[dict, dict]]:
    """Settings and arguments of a valid discovery by each method."""
    found = {}
    for entry in discovery.METHODS.values():
        name = entry.location.partition(":")[2]
        kind: type[Method] = getattr(discovery, name)
        fields = {f.name: f.default for f in dataclasses.fields(kind)}
        small = {**SMALL, **SPECIAL.get(name, {})}
        settings = {f: small.get(f, default) for f, default in fields.items()}
        given = {"seed": 1, kind.needs[0]: getattr(w, kind.needs[0])}
        if name == "Transforms":  # needs a layer of pictures
            given["generator"] = directions.load_generator("digiface64")
        if name.startswith("Weight"):
            given["generator"] = w.tunable
        if "classifier" in kind.needs:
            given |= {"classifier": w.classifier, "attributes": ["smile"]}
        if "answers" in kind.needs:
            given |= {"generator": w.generator}
        if "samples" in kind.needs:
            given |= {"attributes": ["smile"]}
        if "text" in kind.needs:
            given |= {"clip": w.clip, "text": ["a smile"], "neutral": "a face", "without": ["age"]}
        found[name] = settings, given
    return found


def bound(w: SimpleNamespace) -> list[tuple[str, object, dict]]:
    """Methods of models, banks, directions and samples, with the arguments of valid calls."""
    g, up = w.generator, w.bank["smile"]
    return [
        ("Generator.sample", g.sample, {"count": 3, "seed": 1, "start": 2, "space": "z",
                                        "truncation": 0.5}),
        ("Generator.synthesize", g.synthesize, {"codes": w.codes, "space": "z"}),
        ("Generator.map", g.map, {"codes": w.codes, "source": "z", "target": "z"}),
        ("Generator.prior", g.prior, {"space": "z"}),
        ("Classifier", w.classifier.__call__, {"images": w.images}),
        ("Classifier.logits", w.classifier.logits, {"images": w.images}),
        ("pixels", directions.load_classifier("pixels").__call__, {"images": w.images}),
        ("Direction.shift", up.shift, {"codes": w.codes, "amount": 1.0, "unit": "sigma"}),
        ("Direction.check", up.check, {"generator": g}),
        ("Direction.from_vector", Direction.from_vector, {
            "name": "a", "vector": up.vector, "space": "z", "method": "m", "config": {},
            "layers": (0,), "offset": 0.5, "sigma": 1.0, "evidence": {}}),
        ("DirectionBank.of", DirectionBank.of, {"generator": g, "directions": [up]}),
        ("DirectionBank.select", w.bank.select, {"names": ["smile"]}),
        ("DirectionBank.merge", w.bank.merge, {"other": w.bank, "prefix": "b."}),
        ("DirectionBank.check", w.bank.check, {"generator": g}),
        ("DirectionBank.transfer", w.bank.transfer, {"generator": g}),
        ("WeightDirection.of", directions.WeightDirection.of, {
            "basis": w.weight_bank["a"].basis, "amounts": torch.ones(3), "name": "a",
            "method": "m", "config": {}, "evidence": {}}),
        ("WeightDirection.deltas", w.weight_bank["a"].deltas, {
            "generator": w.tunable, "amount": 1.0, "unit": "sigma"}),
        ("WeightDirection.applied", w.weight_bank["a"].applied, {
            "generator": w.tunable, "amount": 1.0, "unit": "sigma"}),
        ("DirectionBank.widened", w.bank.widened, {"generator": g}),
        ("DirectionBank.save", w.bank.save, {"path": w.folder / "bank.safetensors"}),
        ("DirectionBank.load", DirectionBank.load, {
            "path": w.folder / "kept.safetensors", "generator": g}),
        ("Prior.fit", directions.Prior.fit, {"codes": w.codes}),
        ("Prior.sigma", w.prior.sigma, {"vector": up.vector}),
        ("Samples.from_arrays", discovery.Samples.from_arrays, {
            "codes": w.samples.codes, "scores": w.samples.scores, "names": list(NAMES),
            "generator": g, "space": "z"}),
        ("Answers.of", discovery.Answers.of, {"name": "a", "generator": g, "space": "z"}),
        ("Samples.from_frame", discovery.Samples.from_frame, {
            "frame": {"a": [1, 0, 1], "index": [3, 0, 2]}, "generator": g, "names": ["a"],
            "space": "z", "seed": 3}),
        ("Samples.from_images", discovery.Samples.from_images, {
            "images": w.images, "classifier": w.classifier, "generator": g, "codes": w.codes,
            "space": "z"}),
        ("Answers.from_samples", discovery.Answers.from_samples, {
            "samples": dataclasses.replace(w.samples, scores=(w.samples.scores > 0).float()),
            "name": "smile"}),
        ("Samples.rows", w.samples.rows, {"rows": slice(0, 5)}),
        ("Samples.save", w.samples.save, {"folder": w.folder / "samples"}),
        ("Samples.load", discovery.Samples.load, {
            "folder": w.folder / "kept"}),
        ("DirectionBank.save_pretrained", w.bank.save_pretrained, {
            "folder": w.folder / "shared", "license": "mit", "warnings": ["few labels"]}),
        ("DirectionBank.from_pretrained", DirectionBank.from_pretrained, {
            "name": w.bank.save_pretrained(w.folder / "kept-shared"), "generator": g}),
        *extras(w),
    ]  # fmt: skip


def extras(w: SimpleNamespace) -> list[tuple[str, object, dict]]:
    """Calls of what extras install."""
    found: list[tuple[str, object, dict]] = []
    if WITH_ONNX:
        found += [("load_onnx", load_onnx, {
            "path": write(w.folder / "tiny.onnx"), "attributes": ["a", "b"], "output": "sigmoid",
            "given": OnnxInput(mean=(0.5, 0.5, 0.5))})]  # fmt: skip
    if WITH_HUB:
        found += [("DirectionBank.push_to_hub", pushing(w.bank), {
            "name": "me/faces", "folder": w.folder / "kept-shared", "private": True,
            "message": "a bank"})]  # fmt: skip
    return found


def pushing(bank: DirectionBank) -> Any:
    """`push_to_hub` of a bank, to a hub that takes everything."""

    def push(**given: Any) -> str:
        with mock.patch("huggingface_hub.HfApi"):
            return bank.push_to_hub(**given)

    return push
