"""Models and methods on a pretended card: nothing they do mixes its tensors with the CPU's."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from analysis.edits.effects import measure_effects
from analysis.report.page import write_report
from directions import (
    LatdirError,
    Rendering,
    devices,
    load_classifier,
    load_encoder,
    load_generator,
    wrap,
    wrap_classifier,
)
from directions.bank import DirectionBank
from directions.classifiers import Combined, Mirrored, Renamed, load_onnx
from directions.classifiers.clip import model
from directions.classifiers.clip.model import load_clip
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.classifiers.faces.inference import tiled
from directions.devices import Movable
from directions.direction import Direction
from directions.errors import SpaceError
from directions.generators import dcgan as dcgans
from directions.generators.base import Generator
from directions.generators.dcgan import digiface64
from directions.generators.stylegan import stylegan2_inference
from directions.generators.stylegan.stylegan2_generator import styleface64
from directions.images import resize
from directions.inversion import FeatureOffsets, Frames, NoiseMaps, Paddings, SeveralCodes
from directions.inversion.conditional import (
    ConditionalConfig,
    ConditionalEncoder,
    ConditionalNetwork,
)
from directions.inversion.details import DetailConfig, Details, network_of
from directions.inversion.encoders import (
    CompactConfig,
    CompactEncoder,
    Encoder,
    EncoderConfig,
    LabelEncoder,
)
from directions.inversion.hypernetworks import Hypernetwork
from directions.paths import (
    CodeGradientPath,
    CoordinatePath,
    FlowPath,
    GeodesicPath,
    InstancePath,
    MapperPath,
    NeuralWalk,
    UnitStepPath,
    WarpPath,
)
from directions.paths.base import KINDS, load_path
from directions.paths.code_gradient import Readout
from directions.paths.flows.couplings import Couplings
from directions.paths.mapper import perceptron
from directions.paths.potential import Potential, PotentialPath
from directions.planted.clip import PlantedClip
from directions.planted.faces import PlantedFaces
from directions.planted.weights import PlantedWeights
from directions.planted.world import planted
from directions.scoring.gradients import score_gradients
from directions.scoring.scorer import Scorer
from discovery import sample
from discovery.base import Method
from discovery.registry import METHODS, find_method
from discovery.sampling.samples import Samples
from discovery.teaching.answers import Answers
from discovery.weights.weight_contrast import WeightContrast
from tests import pretended
from tests.contract.test_generators import GENERATORS
from tests.directions.generators.checkpoints import written
from tests.directions.inversion.encoders.files import CODE, STYLES, encoder_file
from tests.directions.inversion.tuning.test_pivotal import dcgan
from tests.fuzzed.world import hypernetwork, weight_bank
from tests.pretended import CARD, MixedDevicesError, Pretended, pretended_card
from tests.styles import small_stylegan2
from tests.worlds import labeled

pytestmark = pytest.mark.filterwarnings("ignore:CUDA is not available:UserWarning")

WORLD = planted(factors=3, dim=12, size=8, names=("smile", "age", "hat"))
WORLD.fingerprint, WORLD._root  # noqa: B018 - kept when it moves
FEW = {"n_codes": 24, "steps": 2, "n_directions": 3, "batch_size": 8}
SETTINGS = {
    "stylespace": {"n_codes": 80},
    "weight_contrast": {"n_changes": 3, "basis": "svd"},
    "clip_optimize": {"steps": 20, "distance": 0.0, "identity": 0.0},
    "region": {"region": "2,2,6,6", "solver": "alone"},
    "local_channels": {"region": "2,2,6,6"},
    "transforms": {"transforms": "shift_x,zoom,brightness", "layer": "relu.0", "n_codes": 128},
}
# Of methods that read layers, which the planted world has none of.
OWNERS = {"transforms": "digiface64"}


def reader() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)).eval().requires_grad_(False)


def from_onnx():
    from tests.directions.classifiers.test_onnx_file import write  # skips without onnx

    with TemporaryDirectory() as folder:
        return load_onnx(write(Path(folder) / "net.onnx"), attributes=["a", "b"])


CLASSIFIERS = {
    "planted": WORLD.classifier,
    "faces": lambda: load_classifier("faces"),
    "mobile-faces": lambda: load_classifier("mobile-faces"),
    "face-ensemble": lambda: load_classifier("face-ensemble"),
    "pixels": lambda: load_classifier("pixels"),
    "clip": lambda: load_classifier("clip"),
    "renamed": lambda: Renamed(load_classifier("pixels"), {"contrast": "spread"}),
    "mirrored": lambda: Mirrored(load_classifier("faces"), odd=("yaw",)),
    "combined": lambda: Combined(load_classifier("pixels"), WORLD.classifier()),
    "wrapped": lambda: wrap_classifier(reader(), attributes=["a", "b"], name="mine"),
    "labels": lambda: LabelEncoder(
        CompactEncoder(CompactConfig(8, (2,), (4,)), torch.eye(2)),
        torch.zeros(2),
        ["a", "b"],
        name="mine",
    ),
    "onnx": from_onnx,
    "face_labeler": lambda: planted_faces().labeler(0),
}


def planted_faces() -> PlantedFaces:
    return PlantedFaces(load_generator("digiface64"))


# The generators of the contract of generators, and some that only this package's tests use.
OWN = {
    **GENERATORS,
    "planted_faces": planted_faces,
    "noise_maps": lambda: NoiseMaps(small_stylegan2(), space="w"),
    "paddings": lambda: Paddings(small_stylegan2(), count=2),
    "feature_offsets": lambda: FeatureOffsets(load_generator("digiface64"), layer="relu.1"),
    "frames": lambda: Frames(small_stylegan2(), count=3),
    "planted_weights": lambda: PlantedWeights.of(WORLD),
    "weighted": lambda: weight_bank(dcgan()).widened(dcgan()),
    "several_codes": lambda: SeveralCodes(load_generator("digiface64"), layer="relu.1", count=3),
}


def test_the_card_refuses_to_mix(monkeypatch):
    with pretended_card(monkeypatch):
        there = torch.randn(8, 3).to("cuda")
        assert there.device == CARD
        assert (there[2:] @ there.T).cpu().device.type == "cpu"
        with pytest.raises(MixedDevicesError, match="add"):
            there + torch.zeros(8, 3)
        with pytest.raises(MixedDevicesError):
            torch.cat([there, torch.zeros(1, 3)])


@pytest.mark.parametrize("name", OWN)
def test_a_generator_on_the_card(name, monkeypatch):
    here = OWN[name]()
    codes = {space: here.sample(2, seed=0, space=space) for space in here.spaces}
    made = {}
    with pretended_card(monkeypatch):
        there = here.to("cuda")
        assert there.device == CARD
        for space in there.spaces:
            sent = there.sample(2, seed=0, space=space)
            made[space] = there.synthesize(sent, space).detach().cpu()
            for precision in ("float32", "bfloat16"):
                run = there.inference(precision=precision, space=space)
                assert run(sent).device == CARD
            for target in there.spaces:
                if target != "z" or space == "z":
                    assert there.map(sent, space, target).device == CARD
            assert there.prior(space).mean.device.type == "cpu"
    for space, images in made.items():
        expected = here.synthesize(codes[space], space).detach()
        torch.testing.assert_close(images, expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", [n for n in GENERATORS if "dcgan" not in n and n != "digiface64"])
def test_tangents_on_a_fake_card(name, monkeypatch):
    """Forward derivatives, under torch's own fake tensors."""
    here = GENERATORS[name]()
    space = here.default_space("w")
    here.sample(1, seed=0, space=space)
    monkeypatch.setattr(devices, "resolve_device", torch.device)
    monkeypatch.setattr("directions.generators.base.readable", lambda codes: None)
    with FakeTensorMode(allow_non_fake_inputs=True):
        there = here.to(CARD)
        code = torch.zeros(here.space(space).shape, device=CARD)
        forms = [Generator.linearize(there, code, space=space)]
        if type(there).linearize is not Generator.linearize:
            forms.append(there.linearize(code, space=space))
        for form in forms:
            assert form.value.device == CARD
            assert form.push(torch.zeros(3, *code.shape, device=CARD)).device == CARD
        if hasattr(there, "network"):
            mixed = torch.zeros(1, *code.shape)
            with pytest.raises(SpaceError, match=rf"codes are on cpu, \w+ on {CARD}: write codes"):
                there.synthesize(mixed, space)
            # The fast forms look at shape and device alone.
            with pytest.raises(SpaceError, match=r"codes are on cpu, .* or generator.to\('cpu'\)"):
                there.check_shape(mixed, space)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_on_the_card(name, monkeypatch):
    here = CLASSIFIERS[name]()
    images = WORLD.synthesize(WORLD.sample(3, seed=0))
    if name == "face_labeler":  # reads images of its own generator's size
        images = resize(images, 64)
    with pretended_card(monkeypatch):
        there, sent = here.to("cuda"), images.to("cuda")
        scores = there(sent)
        assert scores.device == CARD
        assert there.logits(sent).device == CARD
        assert there.logits_of(sent, there.names[:1]).device == CARD
        for precision in ("float32", "bfloat16"):
            run = there.inference(precision=precision, names=there.names[:2])
            assert run(sent).device == CARD
        scores = scores.cpu()
    torch.testing.assert_close(scores, here(images), atol=1e-3, rtol=1e-3)


def test_embeddings_on_the_card(monkeypatch):
    with pretended_card(monkeypatch):
        sent = WORLD.to("cuda").synthesize(WORLD.to("cuda").sample(2, seed=0))
        assert FaceEmbedding()(sent).device == CARD
        assert FaceEmbedding().inference()(sent).device == CARD


def encoder(folder: Path) -> Encoder:
    """One that looks twice, so that it makes images too."""
    config = EncoderConfig("resnet", 6, (4, 6, 8, 10), (1, 1, 1, 1), CODE, (4,) * STYLES)
    options = {"encoder_type": "BackboneEncoder", "n_iters_per_batch": 2}
    return load_encoder(encoder_file(folder, config, options=options))


def test_an_encoder_on_the_card(monkeypatch, tmp_path):
    here = encoder(tmp_path)
    images = torch.zeros(1, 3, 64, 64)
    with pretended_card(monkeypatch):
        there = here.to("cuda")
        assert there.encode(images).device == CARD
        made = there.encode(images).cpu()
    torch.testing.assert_close(made, here.encode(images), rtol=1e-4, atol=1e-3)


def test_a_hypernetwork_on_the_card(monkeypatch, tmp_path):
    here, images = hypernetwork(tmp_path), torch.zeros(1, 3, 8, 8)
    with pretended_card(monkeypatch):
        found = here.to("cuda").predict(images)
        assert {found.codes.device, found.images.device, found.generator(0).device} == {CARD}
        made = found.images.cpu()
    torch.testing.assert_close(made, here.predict(images).images, rtol=1e-4, atol=1e-3)


def test_details_on_the_card(monkeypatch, tmp_path):
    network = network_of(DetailConfig("feature_editor", 8, (8, 4), 4))
    here = Details(network, hypernetwork(tmp_path).encoder, layer="relu.0", name="mine")
    images = torch.zeros(1, 3, 8, 8)
    with pretended_card(monkeypatch):
        made = here.to("cuda").render(images)
        assert made.device == CARD
        made = made.cpu()
    torch.testing.assert_close(made, here.render(images), rtol=1e-4, atol=1e-3)


def test_a_conditional_encoder_on_the_card(monkeypatch, tmp_path):
    network = ConditionalNetwork(
        ConditionalConfig("value", 4, 1, 6, 8), torch.eye(6), torch.zeros(1), torch.ones(1)
    )
    encoder = hypernetwork(tmp_path).encoder
    here = ConditionalEncoder(network, encoder, name="mine", attribute="age")
    images = torch.zeros(2, 3, 8, 8)
    with pretended_card(monkeypatch):
        made = here.to("cuda").encode(images, 3.0)
        assert made.device == CARD
        made = made.cpu()
    torch.testing.assert_close(made, here.encode(images, 3.0), rtol=1e-4, atol=1e-3)


def by_identity(encoder):
    config = ConditionalConfig("identity", 4, numbers=2, axes=6, hidden=8, measured=3)
    network = ConditionalNetwork(config, torch.eye(6), torch.zeros(2), torch.ones(2))
    network.turn, network.answer = torch.eye(6) / 2, torch.ones(6, 3) / 10
    colors = ((lambda x: x.mean((2, 3))[:, :2]), (lambda x: x.mean((2, 3))[:, 2:]))
    return ConditionalEncoder(
        network, encoder, name="mine", attribute="identity", embed=colors[0], held=colors[1]
    )


def test_a_conditional_encoder_by_identity_on_the_card(monkeypatch, tmp_path):
    here = by_identity(hypernetwork(tmp_path).encoder)
    images = torch.linspace(-1, 1, 2 * 3 * 64).reshape(2, 3, 8, 8)
    with pretended_card(monkeypatch):
        made = here.to("cuda").encode(images, images.flip(0))
        assert made.device == CARD
        made = made.cpu()
    torch.testing.assert_close(made, here.encode(images, images.flip(0)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_what_goes_over_an_encoder_is_kept_in_any_dtype(dtype, tmp_path):
    hyper, images = hypernetwork(tmp_path), torch.zeros(2, 3, 8, 8)
    network = network_of(DetailConfig("consultation", 8, (8, 4), 4))
    sizes = (ConditionalConfig("value", 4, 1, 6, 8), torch.eye(6), torch.zeros(1), torch.ones(1))
    by_age = ConditionalEncoder(
        ConditionalNetwork(*sizes), hyper.encoder, name="c", attribute="age"
    )
    for here, made in (
        (hyper.encoder, lambda it: it.encode(images)),
        (hyper, lambda it: it.predict(images).images),
        (Details(network, hyper.encoder, layer="relu.0", name="d"), lambda it: it.render(images)),
        (by_age, lambda it: it.encode(images, 3.0)),
        (by_identity(hyper.encoder), lambda it: it.encode(images, images + 0.5)),
    ):
        before = made(here)
        there = here.to(dtype=dtype)
        assert there.fingerprint == here.fingerprint
        # In float32 whatever the weights are kept in.
        torch.testing.assert_close(made(there), before, atol=0.1, rtol=0)


def path(kind: str, generator, bank):
    if kind == "instance":
        return InstancePath(generator, generator.classifier(), bank, "smile", ("age",))
    size = generator.space("z").size
    if kind == "clip_mapper":
        network = perceptron([size, size]).requires_grad_(False)
        return MapperPath("smile", "z", (size,), ((0, 1),), (network,), 1.0, 1.0, "toy", "0" * 64)
    if kind == "flow":
        flow = Couplings.started(size - 1, 1, hidden=2, layers=2, seed=0)
        chart = torch.zeros(size), torch.eye(size), torch.eye(size)
        return FlowPath("smile", "z", ("smile",), "x", 1.0, 1.0, *chart, flow, "toy", "0" * 64)
    if kind == "code_gradient":
        layers = torch.eye(size)[:1], torch.eye(size)[:2], torch.zeros(2), torch.ones(1, 2)
        figures = ("smile",), True, 1.0, 1.0, 1.0, "", torch.zeros(size)
        return CodeGradientPath("smile", "z", *figures, Readout(*layers), "toy", "0" * 64)
    if kind == "coordinate":
        flow = Couplings.started(size, 0, hidden=2, layers=2, seed=0)
        chart = torch.zeros(size), torch.eye(size), torch.eye(size)
        return CoordinatePath("smile", "z", 0, 1.0, 1.0, *chart, flow, "toy", "0" * 64, {})
    if kind == "geodesic":
        return GeodesicPath(generator, bank["smile"], origin=torch.zeros(size))
    if kind == "warp":
        sets = torch.zeros(size), torch.eye(size), torch.ones(size)
        return WarpPath("smile", "z", 1.0, 1.0, 0.5, *sets, "toy", "0" * 64)
    if kind == "potential":
        one = torch.ones(1, 1)
        waves = Potential(torch.ones(1, size), one[0] * 0, one, one[0])
        figures = 1.0, 1.0, 2.0, 2.0, torch.zeros(size)
        return PotentialPath("smile", "z", *figures, waves, "toy", "0" * 64)
    if kind == "unit_step":
        layer = (torch.eye(size),), (torch.ones(size),)
        return UnitStepPath("smile", "z", 1.0, *layer, "toy", "0" * 64)
    field = [torch.ones(size), torch.ones(2, size), torch.ones(2), torch.ones(size, 2)]
    return NeuralWalk("smile", "pixels", "z", *field, 1.0, 1.0, 0.5, "toy", "0" * 64)


def true_bank() -> DirectionBank:
    rows = zip(WORLD.names, WORLD.truth, strict=True)
    directions = tuple(Direction.from_vector(n, t, space="z") for n, t in rows)
    return DirectionBank(directions, WORLD.name, WORLD.fingerprint)


# Geodesics need forward derivatives, which the pretended card has not.
@pytest.mark.parametrize("kind", sorted({*KINDS} - {"geodesic"}))
def test_a_path_on_the_card(kind, monkeypatch):
    here = path(kind, WORLD, true_bank())
    with pretended_card(monkeypatch):
        there = here.to("cuda")
        codes = WORLD.to("cuda").sample(3, seed=0)
        assert there.shift(codes, 0.5).device == CARD
        assert there.shift(codes, torch.tensor([0.1, 0.2, 0.3])).device == CARD
        # A path's own tensors follow the codes.
        if kind != "instance":
            assert here.shift(codes, 0.5).device == CARD


def settings(method: type) -> dict[str, object]:
    found = {name: FEW[name] for name in FEW if name in method.__dataclass_fields__}
    return {**found, **SETTINGS.get(method.method, {})}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_on_the_card(name, monkeypatch):
    method = find_method(name)
    options = settings(method)
    monkeypatch.setattr(WeightContrast, "held_out", (8, 2))
    owner = load_generator(OWNERS[name]) if name in OWNERS else WORLD
    if name.startswith("weight_"):
        owner = PlantedWeights.of(WORLD)
        owner.fingerprint  # noqa: B018 - kept when it moves
    with pretended_card(monkeypatch):
        card = owner.to("cuda")
        found = method(**options)
        if "samples" in method.needs:
            bank = found.discover(labeled(card, card.classifier(), 200))
        elif "answers" in method.needs:
            codes = card.sample(64, seed=0)
            has = card.factors(codes)[:, 0] > 0
            labels = Samples.from_arrays(codes, has, "smile", generator=card)
            answers = Answers.from_samples(labels)
            bank = found.discover(answers, generator=card)
        elif "text" in method.needs:
            bank = found.discover(card, text=["a smile"], clip=PlantedClip(WORLD).to("cuda"))
        elif "classifier" in method.needs:
            bank = found.discover(card, classifier=card.classifier())
        else:
            bank = found.discover(card)
        card = bank.widened(card)
        for direction in bank.directions:
            codes = card.sample(2, seed=1, space=direction.acts_in(card.spaces))
            assert direction.shift(codes, 1.0).device == CARD


def test_pretended_tensors_copy_as_others(monkeypatch):
    with pretended_card(monkeypatch):
        there = torch.ones(2).to("cuda")
        assert isinstance(there.clone(), Pretended)
        assert copy.copy(there) is not None


def test_a_model_by_its_door(monkeypatch, tmp_path):
    state = written.stylegan2_state()
    written.nvidia_file(written.nvidia_module(state, kwargs={}), tmp_path / "net.pkl")
    path("neural_walk", WORLD, true_bank()).save(tmp_path / "walk.safetensors")
    with pretended_card(monkeypatch):
        for module in (dcgans, model):  # where the name is imported
            monkeypatch.setattr(module, "resolve_device", devices.resolve_device)
        for name in ("planted", "digiface64", "styleface64", tmp_path / "net.pkl"):
            assert load_generator(name, device="cuda").device == CARD
        assert digiface64(device="cuda").device == CARD
        assert styleface64(device="cuda").device == CARD
        assert load_clip(device="cuda").device == CARD
        images = WORLD.to("cuda").synthesize(WORLD.to("cuda").sample(2, seed=0))
        assert load_classifier("clip", device="cuda")(images).device == CARD
        assert load_path(tmp_path / "walk.safetensors", device="cuda").inner.device == CARD


def test_scores_effects_and_gradients_on_the_card(monkeypatch, tmp_path):
    bank = true_bank()
    with pretended_card(monkeypatch):
        card = WORLD.to("cuda")
        judge = card.classifier()
        codes = card.sample(12, seed=1)
        scores = Scorer(card, judge).score(codes)
        gradients = score_gradients(card, judge, codes, attributes=["age"], space="z").gradients
        assert gradients.device == CARD
        effects = measure_effects(card, judge, bank, count=12, rendering=Rendering(batch_size=5))
        samples = sample(card, judge, 12, seed=1, out=tmp_path)
        assert samples.notes["device"] == effects.source.device == "cuda:0"
        assert samples.rendering.precision == effects.source.precision == "float32"
    manifest = json.loads((tmp_path / "_manifest.json").read_text("utf-8"))
    assert manifest["notes"]["device"] == "cuda:0"
    assert manifest["settings"]["precision"] == "float32"
    page = write_report(tmp_path / "report.html", bank=bank, effects=effects).read_text("utf-8")
    assert "float32 on cuda:0, torch" in page
    here = measure_effects(WORLD, WORLD.classifier(), bank, count=12)
    expected = Scorer(WORLD, WORLD.classifier()).score(WORLD.sample(12, seed=1))
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(samples.scores, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(effects.mean, here.mean, atol=1e-5, rtol=0)


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Operations that wait for the card: values read, and copies to the CPU."""
    found = []

    def noted(func, args, kwargs):
        name, to = func._schema.name.split("::")[1], str((kwargs or {}).get("device"))
        if any(isinstance(x, Pretended) for x in args) and (
            name == "_local_scalar_dense" or (name == "_to_copy" and to == "cpu")
        ):
            found.append(name)
        return run(func, args, kwargs)

    run = pretended.run
    monkeypatch.setattr(pretended, "run", noted)
    return found


@pytest.mark.parametrize("name", ["digiface64", "styleface64"])
def test_scoring_waits_for_the_card_once_whatever_the_number_of_batches(name, reads, monkeypatch):
    generator, judge = load_generator(name), load_classifier("faces")
    with pretended_card(monkeypatch):
        card, judge = generator.to("cuda"), judge.to("cuda")
        space = card.default_space("w")
        codes = card.sample(6, seed=1, space=space)
        waits = []
        for batch in (6, 3, 1):
            scorer = Scorer(card, judge, space=space, rendering=Rendering(batch_size=batch))
            scorer.score(codes[:1])
            reads.clear()
            scorer.score(codes)
            waits.append(len(reads))
    assert 0 < waits[0] == waits[1] == waits[2]


def test_effects_wait_for_the_card_once_for_many_batches(reads, monkeypatch):
    bank = true_bank()
    with pretended_card(monkeypatch):
        card = WORLD.to("cuda")
        waits, found = [], []
        for batch in (36, 4):  # 36 moved images, 12 unmoved
            reads.clear()
            rendering = Rendering(batch_size=batch, progress=False)
            effects = measure_effects(card, card.classifier(), bank, count=12, rendering=rendering)
            waits.append(len(reads))
            found.append(effects.mean)
    assert 0 < waits[0] == waits[1]
    torch.testing.assert_close(*found, atol=1e-6, rtol=0)


def test_images_of_a_card_that_are_not_finite_are_refused(monkeypatch):
    torn = wrap(lambda z: (z[:, :3, None, None] + 9).log().expand(-1, 3, 8, 8), latent_dim=6,
                name="torn")  # fmt: skip
    with pretended_card(monkeypatch):
        scorer = Scorer(torn.to("cuda"), load_classifier("pixels"),
                        rendering=Rendering(batch_size=2))  # fmt: skip
        codes = torch.full((5, 6), -10.0).to("cuda")
        with pytest.raises(LatdirError, match="5 codes gave NaN or infinite pixels"):
            scorer.score(codes)
        with pytest.raises(LatdirError, match="2 codes gave NaN or infinite pixels"):
            next(scorer.images(codes[:2]))


def test_a_card_takes_batches_whole(monkeypatch):
    small, images = GENERATORS["small_stylegan2"](), WORLD.synthesize(WORLD.sample(40, seed=0))
    codes = small.sample(3, seed=0)
    expected = small.inference()(codes)

    def one(*_):
        raise AssertionError("one image at a time")

    monkeypatch.setattr(stylegan2_inference._Fast, "of", one)
    seen = []

    def rows(tile):
        seen.append(len(tile))
        return tile.flatten(1)

    with pretended_card(monkeypatch):
        made = small.to("cuda").inference()(codes.to("cuda")).cpu()
        tiled(rows, images.to("cuda"))
    tiled(rows, images)
    torch.testing.assert_close(made, expected, atol=2e-4, rtol=0)
    assert seen == [40, 16, 16, 16]
    with pytest.raises(AssertionError, match="one image at a time"):
        small.inference()(codes)


def every_kind(base: type) -> Iterator[type]:
    """Classes of the packages that derive from one; the tests' own are left out."""
    for kind in base.__subclasses__():
        if kind.__module__.startswith(("directions.", "discovery.")):
            yield kind
        yield from every_kind(kind)


def test_every_model_and_method_is_covered():
    """Every class of models and every registered method; a new one has to be added above."""
    made = [*OWN.values(), *CLASSIFIERS.values()]
    covered = {type(make()) for make in made}
    covered |= {type(path(kind, WORLD, true_bank())) for kind in KINDS}
    covered |= {type(load_clip()), PlantedClip, Encoder, Hypernetwork, Details}
    covered.add(ConditionalEncoder)
    concrete = {kind for kind in every_kind(Movable) if not inspect.isabstract(kind)}
    assert concrete - covered == set()
    assert len(concrete) >= 22
    assert {entry.location.partition(":")[2] for entry in METHODS.values()} == {
        kind.__name__ for kind in every_kind(Method) if not inspect.isabstract(kind)
    }
