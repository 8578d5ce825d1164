"""`benchmarks/gpu.py` on a machine that has only torch and the packages of arithmetic."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
# All that the packages need besides torch, numpy, scipy, scikit-learn and safetensors.
ABSENT = (
    "jaxtyping",
    "jinja2",
    "matplotlib",
    "PIL",
    "pyarrow",
    "pydantic",
    "rich",
    "tqdm",
    "typer",
)
BARE = (
    f"import runpy, sys; sys.modules.update(dict.fromkeys({ABSENT})); "
    f"sys.path.insert(0, {str(SCRIPT.parent)!r}); "
    f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
)


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The script in another folder, in which the packages are not found by accident."""
    return subprocess.run(
        [sys.executable, "-c", BARE, *options], cwd=folder, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def figures(folder: Path, *options: str) -> dict:
    done = run(folder, "--quick", "--device", "cpu", *options)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "gpu.json").read_text(encoding="utf-8"))


def test_methods_are_timed_without_the_other_packages(tmp_path):
    found = figures(tmp_path, "--parts", "methods")
    assert found["environment"]["device"] == "cpu"
    assert found["environment"]["stand_in"]
    names = " ".join(row["method"] for row in found["methods"])
    for what in ("covariance", "pca", "svm", "40 targets", "JᵀJ", "effects"):
        assert what in names
    assert all(row["seconds"] > 0 for row in found["methods"])


@pytest.mark.slow
def test_rates_and_parity(tmp_path):
    found = figures(tmp_path)
    assert [row["generator"] for row in found["rates"]] == [
        "digiface64", "styleface64", "random-stylegan2-64", "random-stylegan2-128",
    ]  # fmt: skip
    for row in found["rates"]:
        for way in ("plain", "float32", "bfloat16"):
            assert row[way]["images_per_second"] > 0
    assert all(row["within"] for row in found["parity"])
    assert len(found["parity"]) == 3 * 4 + 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card")
def test_without_a_card_it_says_how_to_try_it(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    assert "there is no device 'cuda' here" in done.stderr
    assert "--quick --device cpu" in done.stderr
