"""The commands `latdir invert` and `latdir edit --image`."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from directions import Direction, DirectionBank, grid, load_generator, move
from directions.images import from_pil, save_png
from directions.inversion import load_inversion
from tests.analysis.measured import true_bank
from tests.parity import ROOT


@pytest.fixture
def own(tmp_path: Path) -> torch.Tensor:
    """Two images of the planted generator as files of twice its size, and a bank."""
    generator = load_generator("planted")
    images = generator.synthesize(generator.sample(2, seed=4))
    for i, image in enumerate(images):
        save_png(image.repeat_interleave(2, 1).repeat_interleave(2, 2), tmp_path / f"{i}.png")
    true_bank(generator).save(tmp_path / "bank.safetensors")
    return images


def picture(path: Path) -> torch.Tensor:
    with Image.open(path) as opened:
        return from_pil(opened)


def test_inverting_photographs(typed, own, tmp_path: Path):
    (tmp_path / "text.png").write_text("no picture")
    flags = "--generator planted --align center --json --codes codes.safetensors --out o.png"
    code, out, err = typed(f"invert 0.png text.png 1.png {flags}")
    assert code == 0, err
    assert "left out: text.png is not a picture that Pillow reads" in err
    rows = json.loads(out)["photographs"]
    assert [row["name"] for row in rows] == ["0.png", "1.png"]
    assert all(row["psnr"] > 40 and row["status"] != "out of range" for row in rows)
    generator = load_generator("planted")
    made = generator.synthesize(load_file(tmp_path / "codes.safetensors")["codes"], "z")
    torch.testing.assert_close(made, own, atol=0.02, rtol=0)
    assert picture(tmp_path / "o.png").shape[3] > 256


def test_editing_a_photograph(typed, own, tmp_path: Path):
    bank = "bank.safetensors --generator planted --align center"
    name = next(iter(true_bank(load_generator("planted"))))
    code, out, err = typed(f"edit {bank} --image 0.png --set {name}=2 --out two.png")
    assert code == 0, err
    assert "0.png: " in out
    assert " dB" in out
    before, after = (picture(tmp_path / n) for n in ("0.png", "two.png"))
    assert before.shape == after.shape
    assert (before - after).abs().max() > 0.03
    typed(f"edit {bank} --image 0.png --set {name}=0 --out none.png")
    # Nothing is changed by a change of nothing, and little by pasting the whole image.
    assert torch.equal(picture(tmp_path / "none.png"), before)
    typed(f"edit {bank} --image 0.png --set {name}=0 --whole --out whole.png")
    assert 0 < (picture(tmp_path / "whole.png") - before).abs().max() < 0.2
    code, _, err = typed(f"edit {bank} --image 0.png --sweep {name} --amounts=-1,0,1 --out s.png")
    assert code == 0, err
    assert picture(tmp_path / "s.png").shape[3] > 3 * 32


def test_tuning_needs_a_photograph_and_weights(typed, own):
    bank = "bank.safetensors --generator planted --align center"
    name = next(iter(true_bank(load_generator("planted"))))
    code, _, err = typed(f"edit {bank} --tune --set {name}=2 --out two.png")
    assert (code, "--tune goes with --image" in err) == (2, True)
    code, _, err = typed(f"edit {bank} --image 0.png --tune --set {name}=2 --out two.png")
    assert (code, "planted has no weights that can be tuned" in err) == (2, True)


@pytest.mark.slow
def test_a_tuned_generator_keeps_the_photograph(typed, tmp_path: Path):
    generator = load_generator("styleface64")
    vector = generator.prior("w").mean
    direction = Direction.from_vector("any", vector, space="w")
    DirectionBank((direction,), generator.name, generator.fingerprint).save(tmp_path / "w.bank")
    shutil.copy(ROOT / "docs" / "images" / "astronaut.jpg", tmp_path)
    code, out, err = typed(
        "edit w.bank --image astronaut.jpg --tune --set any=0 --whole --out o.png"
    )
    assert code == 0, err
    reached = float(re.search(r"-> ([0-9.]+) dB", out)[1])
    assert reached >= 35.0


@pytest.fixture
def pictures(tmp_path: Path) -> None:
    gray = np.full((90, 90, 3), 128, np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Image.fromarray(gray[:1, :1]).save(tmp_path / "dot.png")
    Image.new("L", (10_000, 10_000)).save(tmp_path / "vast.png")
    frames = [Image.new("L", (9, 9), i) for i in (0, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with Image.open(ROOT / "docs" / "images" / "astronaut.jpg") as one:
        two = Image.new("RGB", (640, 320))
        two.paste(one, (0, 0))
        two.paste(one, (320, 0))
        two.save(tmp_path / "two.png")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("invert moving.gif", "moving.gif is an animation of 2 frames"),
        ("invert dot.png", "dot.png is 1×1"),
        ("invert vast.png", "vast.png is 10000×10000, 100 million pixels"),
        ("invert absent.png", "cannot read absent.png"),
        ("invert gray.png", "no face is found in gray.png"),
        ("invert two.png", "two.png shows 2 faces: choose one"),
        ("invert gray.png --align nose", "--align is face or center, not 'nose'"),
        ("invert gray.png --box 1,2,x,4", "--box takes left,top,right,bottom"),
        ("invert gray.png --box 0,0,100,100", "is not within gray.png, which is 90×90"),
        ("invert gray.png --space w", "has no space 'w'"),
        ("invert gray.png --align center --solver newton", "no solver 'newton'"),
        ("invert gray.png --generator broken.safetensors", "broken.safetensors"),
    ],
)
def test_refusals(typed, pictures, tmp_path: Path, line: str, said: str):
    (tmp_path / "broken.safetensors").write_bytes(b"\0" * 64)
    code, out, err = typed(f"{line} --out x.png")
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "x.png").exists()
    assert not out


def test_a_photograph_is_not_edited_by_a_text(typed):
    code, _, err = typed("edit --image a.jpg --out x.png --text", "a smiling face")
    assert code == 2
    assert "--image goes with --set or --sweep" in err


def test_codes_of_photographs_are_edited_like_samples(typed, own, tmp_path: Path):
    flags = "--generator planted --align center --codes codes.safetensors --out o.png"
    code, _, err = typed(f"invert 0.png 1.png {flags}")
    assert code == 0, err
    bank = "bank.safetensors --generator planted --codes codes.safetensors"
    name = next(iter(true_bank(load_generator("planted"))))
    code, _, err = typed(f"edit {bank} --set {name}=2 --out two.png")
    assert code == 0, err
    # The first column holds the photographs' images again, the second the edited ones.
    generator = load_generator("planted")
    codes = load_inversion(tmp_path / "codes.safetensors", generator).codes
    moved = move(codes, true_bank(generator), {name: 2})
    both = torch.stack([generator.synthesize(codes), generator.synthesize(moved)], 1)
    save_png(grid(both, columns=["original", f"{name} +2"], marked=0), tmp_path / "wanted.png")
    assert torch.equal(picture(tmp_path / "two.png"), picture(tmp_path / "wanted.png"))
    code, _, err = typed(f"edit {bank} --pick 1 --sweep {name} --out one.png")
    assert code == 0, err
    assert picture(tmp_path / "one.png").shape[2] < picture(tmp_path / "two.png").shape[2]
    code, _, err = typed(f"edit {bank} --pick 2 --sweep {name} --out three.png")
    assert (code, "holds codes 0 to 1, and --pick asks for 2" in err) == (2, True)
    (tmp_path / "codes.safetensors").write_bytes(b"0" * 99)
    code, _, err = typed(f"edit {bank} --sweep {name} --out three.png")
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert "codes.safetensors" in err


FAILING = """
import torch, directions as d
from directions.planted.world import planted
world = planted(dim=8, factors=2)
def blind():
    return d.wrap(lambda z: world.synthesize(z).detach(), latent_dim=8, name="blind", version="1")
def hungry():
    made, seen = planted(dim=8, factors=2), []
    def synthesize(codes, space=None):
        # The first is the check that gradients flow.
        if torch.is_grad_enabled() and codes.requires_grad and seen:
            raise torch.OutOfMemoryError("CUDA out of memory: 9 GB")
        if codes.requires_grad:
            seen.append(1)
        return type(made).synthesize(made, codes, space)
    made.synthesize = synthesize
    return made
"""


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("mine:blind", "no gradient"),
        ("mine:hungry", "there is not enough memory on cpu to invert one image"),
    ],
)
def test_generators_that_cannot_be_inverted(typed, own, beside, model: str, said: str):
    beside(FAILING)
    code, _, err = typed(
        f"invert 0.png --generator {model} --align center --solver adam --out o.png"
    )
    assert code == 2
    assert said in err.splitlines()[-1]
