"""Devices by name, and models moved."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from directions import LatdirError, load_classifier, load_generator, wrap, wrap_classifier
from directions.classifiers import Combined, Mirrored, Renamed
from directions.classifiers.clip.model import clip_classifier, load_clip
from directions.devices import available_devices, ieee_float32, moved, resolve_device
from directions.numerics.jacobian import columns, product
from directions.numerics.linearized import linearize
from directions.paths import NeuralWalk, load_path
from discovery.decomposition import column_gram
from discovery.estimators.smooth_margin import smooth_margin
from discovery.estimators.svm import hinge_svm
from tests.contract.test_generators import GENERATORS

NO_CARD = not torch.cuda.is_available()


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 48), nn.Tanh(), nn.Unflatten(1, (3, 4, 4))).eval()


def reader() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).eval().requires_grad_(False)


@pytest.mark.skipif(not NO_CARD, reason="there is a CUDA device")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_missing_device_is_refused_with_those_there_are(name):
    for door in (
        lambda: load_generator("digiface64", device=name),
        lambda: load_classifier("pixels", device=name),
        lambda: load_clip(device=name),
        lambda: load_generator("planted").to(name),
        lambda: load_classifier("faces").to(name),
    ):
        with pytest.raises(LatdirError, match=f"there is no device '{name}' here: there is cpu"):
            door()


def test_auto_takes_a_card_or_the_cpu():
    assert resolve_device("auto").type == ("cpu" if NO_CARD else "cuda")
    assert available_devices()[0] == "cpu"
    with pytest.raises(LatdirError, match="no device 'gpu': a device is auto, cpu, cuda, cuda:1"):
        load_generator("planted", device="gpu")


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_in_float64_is_the_same_generator(name):
    generator = GENERATORS[name]()
    assert generator.to("cpu") is generator
    if hasattr(generator, "network"):
        assert generator.to(dtype=torch.float32) is generator
    exact = generator.to(dtype=torch.float64)
    assert type(exact) is type(generator)
    assert exact is not generator
    assert name == "wrapped" or exact.fingerprint == generator.fingerprint
    codes = exact.sample(3, seed=1)
    assert torch.equal(codes, generator.sample(3, seed=1))
    images = generator.synthesize(codes).detach()
    for made in (exact.synthesize(codes), exact.inference()(codes)):
        torch.testing.assert_close(made.detach().float(), images, atol=1e-4, rtol=0)
    with pytest.raises(LatdirError, match=r"weights are floating point, not torch\.int32"):
        generator.to(dtype=torch.int32)


@pytest.mark.parametrize("name", [n for n in GENERATORS if n not in ("wrapped", "mapped")])
def test_images_are_computed_in_the_dtype_of_the_codes(name):
    generator = GENERATORS[name]()
    for space in generator.spaces:
        codes = generator.sample(1, seed=3, space=space)
        images = generator.synthesize(codes, space)
        for dtype, near in ((torch.float64, 1e-5), (torch.float16, 3e-3), (torch.bfloat16, 3e-2)):
            made = generator.synthesize(codes.to(dtype), space)
            assert made.dtype == dtype
            assert (made.double() - images.double()).abs().mean() < near


@pytest.mark.parametrize("name", [n for n in GENERATORS if n not in ("wrapped", "mapped")])
def test_first_order_models_are_computed_in_the_dtype_of_the_code(name):
    generator = GENERATORS[name]()
    space = generator.default_space("w")
    code = generator.sample(1, seed=3, space=space)[0]
    model, exact = (generator.linearize(c, space=space) for c in (code, code.double()))
    tangent = torch.ones(1, *code.shape, dtype=torch.float64)
    assert exact.value.dtype == exact.push(tangent).dtype == torch.float64
    torch.testing.assert_close(model.value.double(), exact.value, atol=1e-4, rtol=0)
    pushed = model.push(tangent.float()).double()
    torch.testing.assert_close(pushed, exact.push(tangent), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", [n for n in GENERATORS if n != "wrapped"])
def test_images_have_a_graph_only_if_the_codes_ask_for_one(name):
    generator = GENERATORS[name]()
    for space in generator.spaces:
        codes = generator.sample(2, seed=3, space=space)
        assert not generator.synthesize(codes, space).requires_grad
        assert generator.synthesize(codes.requires_grad_(), space).requires_grad


def test_float16_does_not_overflow_where_weights_are_stored_unscaled():
    generator = load_generator("styleface64")
    for layer in generator.network.layers:
        layer.weight.mul_(3000)
    codes = generator.sample(2, seed=0, space="w")
    images = generator.synthesize(codes, "w")
    half = generator.synthesize(codes.half(), "w")
    assert (half.float() - images).abs().mean() < 3e-3


def test_a_wrapped_module_is_copied_and_a_function_draws_codes_elsewhere():
    module = net()
    generator = wrap(module, latent_dim=6, name="mine")
    exact = generator.to(dtype=torch.float64)
    assert module[0].weight.dtype == torch.float32
    assert exact._module[0].weight.dtype == torch.float64
    assert exact._function is exact._module
    bound = wrap(module.forward, latent_dim=6, name="mine").to(dtype=torch.float64)
    assert bound._function.__self__ is bound._module is not module
    function = wrap(lambda z: torch.tanh(z[:, :1, None, None]).expand(-1, 3, 4, 4), latent_dim=6,
                    name="function")  # fmt: skip
    assert function.to("meta").device.type == "meta"
    assert function.device.type == "cpu"


def test_classifiers_move_their_parts_and_keep_their_fingerprint():
    mine = wrap_classifier(reader(), attributes=["a", "b"], name="mine")
    both = Combined(Mirrored(Renamed(mine, {"a": "c"})), load_classifier("pixels"))
    exact = both.to(dtype=torch.float64)
    assert exact is not both
    assert exact.parts[1] is both.parts[1]
    assert exact.parts[0].classifier.classifier.function[1].weight.dtype == torch.float64
    assert mine.function[1].weight.dtype == torch.float32
    assert both.to("cpu") is both
    for name in ("faces", "mobile-faces", "pixels"):
        classifier = load_classifier(name)
        assert classifier.to("cpu") is classifier


def test_clip_moves_with_its_encoders():
    clip = load_clip()
    assert clip.to("cpu") is clip
    half = clip.to(dtype=torch.bfloat16)
    assert half.fingerprint == clip.fingerprint
    assert half.towers.module is not clip.towers.module
    images = load_generator("digiface64").synthesize(load_generator("digiface64").sample(3, seed=0))
    assert half.encode_images(images).dtype == torch.float32
    torch.testing.assert_close(half.encode_images(images), clip.encode_images(images), atol=0.03,
                               rtol=0)  # fmt: skip
    texts = ["a smiling face", "a face"]
    torch.testing.assert_close(half.encode_texts(texts), clip.encode_texts(texts), atol=0.03,
                               rtol=0)  # fmt: skip
    classifier = clip_classifier(clip, {"smiling": ("a smiling face", "a face")})
    moved_ = classifier.to(dtype=torch.bfloat16)
    assert moved_.fingerprint == classifier.fingerprint
    torch.testing.assert_close(moved_(images), classifier(images), atol=0.15, rtol=0)
    with pytest.raises(LatdirError, match=r"the images are on meta, tinyclip-faces on cpu"):
        clip.encode_images(torch.zeros(1, 3, 8, 8, device="meta"))


def test_a_path_moves_its_own_tensors(tmp_path):
    field = [torch.zeros(4), torch.zeros(2, 4), torch.zeros(2), torch.zeros(4, 2)]
    walk = NeuralWalk("shift", "pixels", "z", *field, 1.0, 1.0, 0.5, "toy", "0" * 64)
    assert walk.to("cpu") is walk
    exact = walk.to(dtype=torch.float64)
    assert exact.inner.dtype == torch.float64
    assert walk.inner.dtype == torch.float32
    walk.save(tmp_path / "walk.safetensors")
    assert load_path(tmp_path / "walk.safetensors", device="cpu").inner.device.type == "cpu"


def test_shared_modules_stay_shared_and_unmoved_ones_are_the_same():
    layer = nn.Linear(2, 2)
    twins = [layer, {"again": layer}, (torch.zeros(1), 3)]
    made = moved(twins, dtype=torch.float64)
    assert made[0] is made[1]["again"]
    assert made[0] is not layer
    assert made[2][0].dtype == torch.float64
    assert moved(twins, "cpu", torch.float32) is twins


def tf32() -> tuple[str, str]:
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision


def test_float32_is_not_rounded_for_a_while_only():
    before, high = tf32(), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        wanted = tf32()
        assert wanted == ("tf32", before[1])
        with ieee_float32():
            assert tf32() == ("ieee", "ieee")
        assert tf32() == wanted
        with pytest.raises(RuntimeError), ieee_float32():
            torch.ones(2) @ torch.ones(3)
        assert tf32() == wanted
    finally:
        torch.set_float32_matmul_precision(high)
        torch.backends.cuda.matmul.fp32_precision = before[0]
    assert tf32() == before


def test_before_pytorch_2_9_the_older_settings_are_used(monkeypatch):
    class Flags:
        allow_tf32 = True

    for place in ("cuda.matmul", "cudnn"):
        monkeypatch.setattr(f"torch.backends.{place}", Flags())
    with ieee_float32():
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32


CODES = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
LABELS = CODES[:, :1].T.sign()
UNROUNDED = {
    "columns": lambda: columns(linearize(torch.tanh, CODES[0])),
    "product": lambda: product(linearize(torch.tanh, CODES[0]), torch.eye(3)),
    "column_gram": lambda: column_gram(CODES),
    "hinge_svm": lambda: hinge_svm(CODES, LABELS, tolerance=1e-2),
    "smooth_margin": lambda: smooth_margin(
        CODES, LABELS, torch.ones_like(LABELS), loss="logistic"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNROUNDED)
def test_jacobians_covariances_and_margins_are_not_rounded(name):
    seen = []

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append((func, tf32()))
            return func(*args, **(kwargs or {}))

    with Watched():
        UNROUNDED[name]()
    assert [func for func, state in seen[-5:] if state != ("ieee", "ieee")] == []
