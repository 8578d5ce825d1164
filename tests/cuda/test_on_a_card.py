"""A real card beside the CPU; what can be is tested on the CPU as well, so that it is known to run.

`make gpu` runs the others, also where only torch and the packages of arithmetic are installed.
"""

import pytest
import torch

from directions import LatdirError, Rendering, load_classifier, load_generator
from directions.devices import device_name, ieee_float32, resolve_device, sent
from directions.scoring.graphs import Replayed
from directions.scoring.scorer import Scorer
from directions.scoring.tuning import MEASURE_FROM, agrees
from discovery.estimators.svm import hinge_svm
from discovery.unsupervised.pca import PCA
from tests.styles import small_progan, small_stylegan1, small_stylegan2
from tests.waves import small_biggan, small_stylegan3

# Not those of `tests.contract`, which bring the readers of sample files.
GENERATORS = {
    **{n: lambda n=n: load_generator(n) for n in ("planted", "digiface64", "styleface64")},
    "small_stylegan1": small_stylegan1,
    "small_stylegan2": small_stylegan2,
    "small_stylegan3_t": small_stylegan3,
    "small_stylegan3_r": lambda: small_stylegan3(radial=True),
    "small_progan": small_progan,
    "small_biggan": small_biggan,
}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


@pytest.fixture(params=DEVICES)
def device(request) -> torch.device:
    return resolve_device(request.param)


def test_the_device_is_named(device):
    assert str(device) in device_name(device)
    assert sent(torch.arange(3), device).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", GENERATORS)
def test_codes_and_images_are_those_of_float64(name, device):
    here = GENERATORS[name]()
    there = here.to(device)
    for space in here.spaces:
        codes = here.sample(3, seed=1, space=space)
        drawn = there.sample(3, seed=1, space=space)
        assert drawn.device == device
        torch.testing.assert_close(drawn.cpu(), codes, atol=1e-4, rtol=1e-4)
        with ieee_float32():
            made = there.synthesize(codes.to(device), space).detach()
            fast = there.inference(space=space)(codes.to(device))
        exact = here.to(dtype=torch.float64).synthesize(codes, space).detach().float()
        torch.testing.assert_close(made.cpu(), exact, atol=1e-3, rtol=0)
        torch.testing.assert_close(fast.cpu(), exact, atol=1e-3, rtol=0)


def test_scores_are_those_of_the_plain_form(device):
    generator, classifier = load_generator("digiface64"), load_classifier("faces")
    images = generator.synthesize(generator.sample(24, seed=1))
    expected = classifier(images).detach()
    with ieee_float32():
        scores = classifier.to(device).inference()(images.to(device)).cpu()
    torch.testing.assert_close(scores, expected, atol=5e-3, rtol=5e-3)


def test_measured_settings_give_scores_that_agree(device, monkeypatch):
    generator = load_generator("planted").to(device)
    classifier = generator.classifier()
    scorer = Scorer(generator, classifier, n=MEASURE_FROM)
    assert None not in (scorer.rendering.batch_size, scorer.rendering.precision)
    codes = generator.sample(300, seed=2)
    plain = Scorer(generator, classifier, rendering=Rendering(precision="float32")).score(codes)
    assert agrees(plain, scorer.score(codes))


def test_directions_are_those_of_the_cpu(device):
    rng = torch.Generator().manual_seed(0)
    codes = torch.randn(600, 16, generator=rng)
    labels = torch.sign(codes[:, :3].T + 0.3 * torch.randn(3, 600, generator=rng))
    normals = hinge_svm(codes.double(), labels, tolerance=1e-9).weights.float()
    found = hinge_svm(codes.to(device), labels.to(device)).weights.cpu()
    assert (1 - torch.cosine_similarity(found, normals)).max() < 1e-4
    style = load_generator("styleface64")
    banks = [PCA(n_directions=4, n_codes=5000).discover(g) for g in (style, style.to(device))]
    near = torch.cosine_similarity(*(bank.matrix() for bank in banks))
    assert (1 - near).max() < 1e-4


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["digiface64", "styleface64"])
def test_batches_replayed_from_a_graph_have_the_same_bits(name, precision):
    generator = load_generator(name, device="cuda")
    run = generator.inference(precision=precision, space=generator.default_space("w"))
    codes = generator.sample(70, seed=3, space=generator.default_space("w"))
    fast = Replayed(run)
    for part in codes.split(16):
        assert torch.equal(fast(part), run(part))
    assert fast.recorded


@pytest.mark.cuda
def test_a_batch_that_does_not_fit_is_halved_until_it_does(caplog):
    generator, classifier = (f("cuda") for f in (styleface, faces))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(generator.device).total_memory
    held = torch.cuda.memory_reserved(generator.device)
    try:
        torch.cuda.set_per_process_memory_fraction((held + 2**29) / total)
        scorer = Scorer(generator, classifier, rendering=Rendering(batch_size=4096))
        scores = scorer.score(generator.sample(4096, seed=0))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert torch.isfinite(scores).all()
    assert scorer.batch_size < 4096
    assert "out of memory with 4096 images at a time" in caplog.text


@pytest.mark.cuda
def test_tensors_of_two_devices_are_refused():
    generator = styleface("cuda")
    with pytest.raises((LatdirError, RuntimeError), match=r"device|on cpu"):
        generator.synthesize(torch.zeros(1, 100))


def styleface(device: str):
    return load_generator("styleface64", device=device)


def faces(device: str):
    return load_classifier("faces", device=device)
