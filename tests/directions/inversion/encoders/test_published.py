"""Encoders of the authors' files: parity at full size, small files read, others refused."""

import argparse
import json
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

import directions
from directions.errors import CheckpointError, LatdirError
from directions.inversion import Encoder, load_encoder
from directions.inversion.encoders import EncoderConfig, StyleEncoder
from directions.inversion.encoders.published import encoder_config
from directions.inversion.solvers.adam import Adam
from tests.directions.inversion.encoders.files import (
    CODE,
    IR_SE,
    STYLES,
    encoder_file,
    random_state,
)
from tests.parity import agree, fixture


def _original(name: str) -> tuple[dict[str, Any], dict[str, Tensor], Tensor]:
    """Configuration, weights by the stated formula, and the codes that the original computed."""
    folder = fixture(name)
    config = json.loads((folder / "config.json").read_text())

    def drawn(key: str, shape: list[int]) -> Tensor:
        r = torch.randn(shape, generator=torch.Generator().manual_seed(crc32(key.encode())))
        if key in config["prelu"]:
            return 0.25 + 0.05 * r
        if key.endswith("running_var"):
            return 0.8 + 0.2 * r.abs()
        if key.endswith(("running_mean", "bias")):
            return 0.1 * r
        if len(shape) == 1:
            return 1 + 0.1 * r
        return r if "linear." in key else r / r[0].numel() ** 0.5

    counters = "num_batches_tracked"
    state = {k: drawn(k, s) for k, s in config["keys"].items() if not k.endswith(counters)}
    return config, state, load_file(folder / "reference.safetensors")["codes"]


@pytest.mark.parametrize(
    "name",
    [
        "encoder_restyle_psp_resnet",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("encoder_psp", "encoder_e4e", "encoder_restyle_psp", "encoder_restyle_e4e")
        ),
    ],
)
def test_codes_are_those_of_the_original(name: str) -> None:
    config, state, codes = _original(name)
    with torch.device("meta"):
        network = StyleEncoder(encoder_config(state, deltas="e4e" in name)).eval()
    missing, surplus = network.load_state_dict(state, strict=False, assign=True)
    assert not surplus
    assert all(key.endswith("num_batches_tracked") for key in missing)
    draw = torch.Generator().manual_seed(20261128)
    channels = config["arguments"]["input_nc"]
    images = torch.randn(2, channels, 256, 256, generator=draw)[:1] * 0.5
    for counter in missing:
        network.get_submodule(counter.rpartition(".")[0]).num_batches_tracked = torch.tensor(0)
    with torch.inference_mode():
        agree(network(images), codes[:1])


def _network(config: EncoderConfig) -> StyleEncoder:
    network = StyleEncoder(config).eval()
    network.load_state_dict(random_state(config))
    return network


IMAGES = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(5)) * 2 - 1


@pytest.mark.parametrize("namespace", [False, True])
def test_codes_of_a_psp_file_are_offsets_from_its_mean(namespace: bool, tmp_path: Path) -> None:
    options: Any = {"encoder_type": "GradualStyleEncoder", "output_size": 8}
    if namespace:
        options = argparse.Namespace(**options)
    encoder = load_encoder(encoder_file(tmp_path, options=options))
    assert (encoder.name, encoder.space, encoder.passes) == ("small_encode", "w+", 1)
    with torch.no_grad():
        offsets = _network(IR_SE)(IMAGES)
    mean = torch.randn(CODE, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(encoder.encode(IMAGES), mean + offsets)
    torch.testing.assert_close(encoder.generator.network.w_avg, mean)  # type: ignore[attr-defined]
    assert encoder.generator.synthesize(encoder.encode(IMAGES), "w+").shape == (2, 3, 8, 8)


def test_codes_of_an_e4e_file_are_one_code_and_offsets_from_it(tmp_path: Path) -> None:
    path = encoder_file(tmp_path, options={"encoder_type": "Encoder4Editing"})
    codes = load_encoder(path).encode(IMAGES)
    plain = load_encoder(path, kind="psp").encode(IMAGES)
    mean = load_encoder(path).mean[0]
    first = plain[:, 0] - mean
    torch.testing.assert_close(codes[:, 0], plain[:, 0])
    torch.testing.assert_close(codes[:, 1:], plain[:, 1:] + first[:, None])


def test_finer_styles_of_a_pyramid_read_finer_maps(tmp_path: Path) -> None:
    config = EncoderConfig(
        *("ir_se", 3, (4, 6, 8, 10), (1, 1, 1, 1), CODE),
        halvings=(4, 4, 4, 5),
        pyramid=True,
        reduction=2,
    )
    encoder = load_encoder(encoder_file(tmp_path, config))
    assert encoder.network.config == config
    network = _network(config)
    with torch.no_grad():
        maps = network._maps(IMAGES)
        coarse = functional.interpolate(maps[3], (32, 32), mode="bilinear", align_corners=True)
        fine = network.styles[3](coarse + network.latlayer1(maps[2]))
    torch.testing.assert_close(encoder.encode(IMAGES)[:, 3], encoder.mean[3] + fine)


def test_restyle_looks_at_what_it_made(tmp_path: Path) -> None:
    config = EncoderConfig("resnet", 6, (4, 6, 8, 10), (1, 1, 1, 1), CODE, (4,) * STYLES)
    options = {"encoder_type": "ResNetBackboneEncoder", "n_iters_per_batch": 3}
    encoder = load_encoder(encoder_file(tmp_path, config, options=options))
    assert encoder.passes == 3
    network, generator = _network(config), encoder.generator
    codes = encoder.mean.expand(2, STYLES, CODE)
    for _ in range(3):
        with torch.no_grad():
            made = functional.adaptive_avg_pool2d(generator.synthesize(codes, "w+"), 256)
            codes = codes + network(torch.cat([IMAGES, made], 1))
    torch.testing.assert_close(encoder.encode(IMAGES), codes, rtol=1e-4, atol=0)


def test_options_say_how_often_restyle_looks_and_where_codes_begin(tmp_path: Path) -> None:
    config = EncoderConfig("resnet", 6, (4, 6, 8, 10), (1, 1, 1, 1), CODE, (4,) * STYLES)
    options: dict[str, Any] = {"encoder_type": "ResNetBackboneEncoder"}
    assert load_encoder(encoder_file(tmp_path, config, options=options)).passes == 5
    options = {"encoder_type": "GradualStyleEncoder", "start_from_latent_avg": False}
    encoder = load_encoder(encoder_file(tmp_path, options=options))
    with torch.no_grad():
        torch.testing.assert_close(encoder.encode(IMAGES), _network(IR_SE)(IMAGES))


def test_an_encoder_with_one_code_is_of_w(tmp_path: Path) -> None:
    config = EncoderConfig("ir_se", 3, (4, 6, 8, 10), (1, 1, 1, 1), CODE, reduction=2)
    mean = torch.arange(STYLES * CODE, dtype=torch.float32).reshape(STYLES, CODE)
    options = {"encoder_type": "SingleStyleCodeEncoder"}
    encoder = load_encoder(encoder_file(tmp_path, config, options=options, mean=mean))
    assert encoder.space == "w"
    with torch.no_grad():
        torch.testing.assert_close(encoder.encode(IMAGES), mean[0] + _network(config)(IMAGES))


def test_an_encoder_of_cars_reads_the_middle_rows(tmp_path: Path) -> None:
    options = {"encoder_type": "GradualStyleEncoder", "dataset_type": "cars_encode"}
    config = EncoderConfig(
        "ir_se", 3, (4, 6, 8, 10), (1, 1, 1, 1), CODE, (4,) * STYLES, reduction=2
    )
    encoder = load_encoder(encoder_file(tmp_path, config, options=options))
    changed = IMAGES.clone()
    changed[:, :, :32] = 1.0
    changed[:, :, 224:] = -1.0
    torch.testing.assert_close(encoder.encode(changed), encoder.encode(IMAGES))


def test_images_of_any_size_are_read_and_others_refused(tmp_path: Path) -> None:
    encoder = load_encoder(encoder_file(tmp_path))
    assert encoder.encode(IMAGES[:, :, ::4, ::4].numpy()).shape == (2, STYLES, CODE)
    with pytest.raises(LatdirError, match=r"as large as 255: write images / 127\.5 - 1"):
        encoder.encode(IMAGES * 0 + 255)
    with pytest.raises(LatdirError, match="images"):
        encoder.encode(IMAGES[0])


def test_an_inversion_starts_at_the_codes(tmp_path: Path) -> None:
    encoder = load_encoder(encoder_file(tmp_path))
    generator = encoder.generator
    codes = generator.sample(2, seed=1, space="w+")
    images = generator.synthesize(codes, "w+").clamp(-1, 1)
    short: dict[str, Any] = {"solver": Adam(steps=3), "restarts": 0}
    found = directions.invert(generator, images, start=encoder, **short)
    assert found.space == "w+"
    assert set(found.starts) == {"encoded"}
    assert found.record["encoder_weights"] == encoder.fingerprint
    given = directions.invert(generator, images, start=encoder.encode(images), space="w+", **short)
    torch.testing.assert_close(found.codes, given.codes)
    assert directions.invert(generator, images, start=encoder, space="w", **short).space == "w"
    other = directions.load_generator("styleface64")
    with pytest.raises(LatdirError, match="is an encoder of small_encode, not of styleface64"):
        directions.invert(other, other.synthesize(other.sample(1, seed=0)), start=encoder)


def test_the_fingerprint_is_of_weights_and_mean(tmp_path: Path) -> None:
    first = load_encoder(encoder_file(tmp_path))
    again = load_encoder(encoder_file(tmp_path))
    moved = load_encoder(encoder_file(tmp_path, mean=torch.zeros(CODE)))
    assert first.fingerprint == again.fingerprint != moved.fingerprint


PREFIXED = {"hypernet.x": torch.ones(1)}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no options": ({"options": {}}, "whose tensors are the same: give kind='psp', 'e4e' or 'w'"),
    "other network": ({"options": {"encoder_type": "Magic"}}, "is a Magic, which is not known"),
    "HyperStyle": ({"state_dict": PREFIXED}, "it is HyperStyle, whose hypernetwork"),
    "SAM": ({"state_dict": {"pretrained_encoder.x": torch.ones(1)}}, "it is SAM, whose encoder"),
    "StyleCLIP": ({"state_dict": {"mapper.x": torch.ones(1)}}, "it is a mapper of StyleCLIP"),
    "generator only": ({"state_dict": {"decoder.x": torch.ones(1)}}, "no tensors of an encoder"),
    "encoder only": ({"state_dict": {"encoder.x": torch.ones(1)}}, "no tensors of a generator"),
    "no state dict": ({"state_dict": ...}, "it has no 'state_dict' with an encoder"),
    "mean": ({"mean": torch.zeros(7)}, r"w_avg has shape \[7\], where the others"),
    "means": ({"mean": torch.zeros(3, CODE)}, "latent_avg is of 3 styles, its encoder of 4"),
    "styles": (
        {"config": EncoderConfig("ir_se", 3, (4, 6, 8, 10), (1,) * 4, CODE, (4,) * 6, reduction=2)},
        r"codes of shape \[6, 9\], but those of small_encode's w\+ have \[4, 9\]",
    ),
    "sketches": (
        {"config": EncoderConfig("ir_se", 1, (4, 6, 8, 10), (1,) * 4, CODE, (4,) * 4, reduction=2)},
        "its encoder reads 1 channels",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_files_are_refused_by_name(case: str, tmp_path: Path) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(CheckpointError, match=message):
        load_encoder(encoder_file(tmp_path, **changes))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = encoder_file(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"small_encode\.pt cannot be loaded"):
        load_encoder(path)
    torch.save(torch.zeros(1, 512), tmp_path / "age.pt")
    with pytest.raises(CheckpointError, match=r"one tensor of shape \[1, 512\], as files of dir"):
        load_encoder(tmp_path / "age.pt")
    value = torch.load(encoder_file(tmp_path), weights_only=True)
    lacking = dict(value["state_dict"])
    del lacking["encoder.styles.1.linear.bias"]
    with pytest.raises(CheckpointError, match=r"no 'styles\.1\.linear\.bias'"):
        load_encoder(encoder_file(tmp_path, state_dict=lacking))
    surplus = value["state_dict"] | {"encoder.extra": torch.ones(1)}
    with pytest.raises(CheckpointError, match="has 'extra', which no encoder has"):
        load_encoder(encoder_file(tmp_path, state_dict=surplus))
    nan = value["state_dict"] | {"encoder.styles.1.linear.bias": torch.full((CODE,), torch.nan)}
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        load_encoder(encoder_file(tmp_path, state_dict=nan))


def test_an_hfgi_file_is_read_without_its_features(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = torch.load(encoder_file(tmp_path), weights_only=True)["state_dict"]
    encoder = load_encoder(encoder_file(tmp_path, state_dict=state | {"residue.x": torch.ones(1)}))
    assert isinstance(encoder, Encoder)
    assert "the file is HFGI's" in caplog.text
