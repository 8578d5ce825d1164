"""The command on a user's own checkpoint file, named by its path wherever a generator is."""

from pathlib import Path

import pytest

from directions import DirectionBank
from tests.directions.generators.checkpoints import written


@pytest.fixture
def run(typed, tmp_path: Path):
    """Type a command in a folder with a checkpoint of ten classes; (exit code, out, err)."""
    state = written.stylegan2_state(c_dim=10)
    written.nvidia_file(written.nvidia_module(state, kwargs={}), tmp_path / "net.pkl")
    return typed


def test_a_checkpoint_is_named_by_its_path_and_known_again(run, tmp_path: Path) -> None:
    code, _, err = run(
        "discover sefa --generator net.pkl?label=3 --n-directions 2 --out found.safetensors"
    )
    assert code == 0, err
    bank = DirectionBank.load(tmp_path / "found.safetensors")
    assert bank.generator == "net?label=3"
    name = next(iter(bank))
    code, _, err = run(f"edit found.safetensors --sweep {name} --count 1 --out strip.png")
    assert code == 0, err
    assert (tmp_path / "strip.png").exists()
    written.nvidia_file(
        written.nvidia_module(written.stylegan2_state(c_dim=10, seed=1), kwargs={}),
        tmp_path / "net.pkl",
    )
    code, _, err = run(f"edit found.safetensors --sweep {name} --out other.png")
    assert code != 0
    assert "this bank was made for net?label=3" in err


def test_what_is_wrong_with_a_path_is_one_line(run, tmp_path: Path) -> None:
    (tmp_path / "page.pkl").write_text("<html>")
    for given, message in (
        ("missing.pkl", "there is no such file"),
        ("page.pkl", "it is a web page"),
        ("net.pkl?labels=3", "no option 'labels' of a checkpoint"),
        ("net.pkl?label=ten", "the option label cannot be 'ten'"),
        (
            "net.pkl?label=10",
            "latdir: net.pkl (StyleGAN2) cannot be loaded: this network has 10 classes, so there "
            "is no class 10",
        ),
    ):
        code, _, err = run(f"discover sefa --generator {given} --out found.safetensors")
        assert code != 0
        assert message in " ".join(err.split()), err
        assert err.count(given.partition("?")[0]) <= 1, err


def test_a_bank_of_a_checkpoint_names_no_folder(run, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "net.pkl").rename(tmp_path / "home" / "net.pkl")
    code, _, err = run(
        "discover sefa --generator home/net.pkl?label=3&noise=none --n-directions 1 "
        "--out b.safetensors"
    )
    assert code == 0, err
    assert DirectionBank.load(tmp_path / "b.safetensors").generator == "net?label=3&noise=none"
    assert b"home" not in (tmp_path / "b.safetensors").read_bytes()
    code, _, err = run("edit b.safetensors --sweep sefa_0 --out x.png")
    assert code == 2
    assert "belongs to 'net?label=3&noise=none', which is not built in: name the path" in err
    (tmp_path / "b.safetensors").rename(tmp_path / "home" / "b.safetensors")
    code, _, err = run("edit home/b.safetensors --sweep pc0 --out x.png")
    assert "no direction 'pc0'" in err  # the checkpoint beside the bank was found
