"""Each extra installed alone in an empty environment, and what it is for run there.

    python tools/extras.py                     all of them
    python tools/extras.py --only hub,ray      some

The environments share this interpreter's copies of the package's own dependencies (torch is large),
through a folder of links: what an extra needs beyond them is installed by pip. A wheel of the
package is built and installed; nothing of the working tree is on the path. Prints a table; the exit
status is the number of extras that failed.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pyarrow import fs

ROOT = Path(__file__).parents[1]
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
WORLD = """
import torch, latdir as ld
from directions.planted.world import planted
world = planted(factors=2, dim=8)
images = world.synthesize(world.sample(4, seed=0))
bank = ld.DirectionBank.of(world, [ld.Direction.from_vector("up", world.truth[0], space="z")])
"""
# What is run where each extra, and no other, is installed.
FEATURES = {
    "": WORLD + """
samples = ld.sample(world, world.classifier(), 200, seed=0)
assert list(ld.Boundary().discover(samples)) == ["factor_0", "factor_1"]
""",
    "clip": """
import latdir as ld
assert ld.load_clip().encode_texts(["a smiling face", "a face"]).shape == (2, 128)
""",
    "open-clip": """
import open_clip, torch, latdir as ld
torch.save(open_clip.create_model("ViT-S-32-alt").state_dict(), "weights.pt")
clip = ld.load_clip("open_clip:ViT-S-32-alt/weights.pt")
assert clip.encode_texts(["a face"]).shape[0] == 1
""",
    "transformers": """
import json, torch, transformers, latdir as ld
words = ["<|startoftext|>", "<|endoftext|>", *"aface", *(c + "</w>" for c in "aface")]
json.dump({w: i for i, w in enumerate(dict.fromkeys(words))}, open("vocab.json", "w"))
open("merges.txt", "w").write("#version: 0.2\\n")
small = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
text = {**small, "eos_token_id": 1, "bos_token_id": 0, "vocab_size": 16}
vision = {**small, "image_size": 64, "patch_size": 16}
config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)
transformers.CLIPModel(config).save_pretrained(".")
transformers.CLIPImageProcessor(crop_size={"height": 64, "width": 64}).save_pretrained(".")
clip = ld.load_clip("transformers:.")
assert clip.encode_images(torch.zeros(2, 3, 64, 64)).shape == (2, 32)
""",
    "onnx": """
import onnx, torch
from onnx import TensorProto as T, helper as h
from directions.classifiers import load_onnx
node = h.make_node("ReduceMean", ["images"], ["scores"], keepdims=0, axes=[2, 3])
ends = [h.make_tensor_value_info(n, T.FLOAT, s)
        for n, s in (("images", ["n", 3, 8, 8]), ("scores", ["n", 3]))]
graph = h.make_graph([node], "mean", ends[:1], ends[1:])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
onnx.save(model, "mean.onnx")
found = load_onnx("mean.onnx", attributes=["r", "g", "b"])
assert found(torch.zeros(2, 3, 8, 8)).shape == (2, 3) and found.differentiable
""",
    "lpips": """
import lpips, torch
from directions.scoring.features import lpips_features
network = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
assert lpips_features(network)(torch.zeros(2, 3, 64, 64)).shape[0] == 2
""",
    "hub": WORLD + """
bank.save_pretrained("shared")
assert ld.DirectionBank.from_pretrained("shared", generator=world).directions[0].name == "up"
try:
    bank.push_to_hub("me/bank", folder="shared")
except ld.LatdirError as error:
    assert "nothing is lost" in str(error)
""",
    "ray": WORLD + """
from directions.executors import Ray
far = ld.Rendering(executor=Ray(workers=1), batch_size=64)
here = ld.sample(world, world.classifier(), 100, seed=0, rendering=ld.Rendering(batch_size=64))
there = ld.sample(world, world.classifier(), 100, seed=0, rendering=far)
assert torch.equal(here.scores, there.scores)
""",
    "s3": WORLD + """
import os
place = os.environ["LATDIR_S3"]
samples = ld.sample(world, world.classifier(), 100, seed=0, out=place)
assert torch.equal(ld.Samples.load(place).codes, samples.codes)
""",
    "inversion": WORLD + """
found = ld.invert(world, images[:1], solver="cma", start="mean", restarts=0)
assert float(found.psnr) > 30
""",
    "metrics": """
import torch
from analysis.edits.realism import frechet_distance
rows = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
assert abs(frechet_distance(rows, rows + 3.0) - 36) < 0.01
""",
    "explore": WORLD + """
import subprocess, sys, urllib.request
ld.explore(bank, world).close()
face = ld.load_generator("digiface64")
up = ld.Direction.from_vector("up", torch.eye(face.space("z").size)[0], space="z")
ld.DirectionBank.of(face, [up]).save("bank.safetensors")
line = [sys.executable, "-u", "-m", "latdir", "explore", "bank.safetensors", "--port", "0",
        "--no-scores"]
with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as page:
    address = page.stdout.readline().split()[2]
    assert b"<html" in urllib.request.urlopen(address).read()[:200]
    page.terminate()
""",
    "notebooks": """
import json, subprocess, sys
cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source":
        "import latdir as ld, ipywidgets\\nld.load_generator('digiface64').name"}
kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
book = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
json.dump(book, open("a.ipynb", "w"))
subprocess.run([sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute",
                "--output", "b", "a.ipynb"], check=True)
assert "digiface64" in str(json.load(open("b.ipynb"))["cells"][0]["outputs"])
subprocess.run([sys.executable, "-m", "jupyterlab", "--version"], check=True)
""",
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", help="Names with commas between; `base` for no extra.")
    names = parser.parse_args().only
    wanted = list(FEATURES) if names is None else names.replace("base", "").split(",")
    failed = 0
    print("| extra | packages | MB | installed in | feature |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        wheel = built(folder)
        shared(folder / "shared")
        for extra in wanted:
            row = tried(extra, wheel, folder)
            failed += not row.endswith("works |")
            print(row, flush=True)
    return failed


def built(folder: Path) -> Path:
    """A wheel of the working tree."""
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", folder, ROOT])
    [wheel] = folder.glob("*.whl")
    return wheel


def shared(folder: Path) -> None:
    """Links to this interpreter's copies of the package's own dependencies, and of theirs."""
    folder.mkdir()
    own = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for found in closure(own["dependencies"]):
        home = Path(str(found.locate_file("")))
        for top in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
            if top != "__pycache__" and not (folder / top).exists():
                (folder / top).symlink_to(home / top)


def closure(lines: list[str]) -> list[Distribution]:
    """The installed distributions that requirements name, and all that those need here."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in lines]
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        found[name] = distribution(name)
        for part in {"", *wanted.extras} - {e for n, e in seen if n == name}:
            seen.add((name, part))
            waiting += [(Requirement(line), part) for line in found[name].requires or []]
    return list(found.values())


def tried(extra: str, wheel: Path, folder: Path) -> str:
    """A row of the table: the environment of one extra, and its feature."""
    place = folder / (extra or "base")
    run([sys.executable, "-m", "venv", "--without-pip", place])
    python, site = place / "bin" / "python", place / "lib" / PYTHON / "site-packages"
    (site / "shared.pth").write_text(f"{folder / 'shared'}\n")
    started = time.perf_counter()
    what = f"{wheel}[{extra}]" if extra else str(wheel)
    try:
        run([sys.executable, "-m", "pip", "--python", python, "install", "-q", what])
        taken = time.perf_counter() - started
        work = place / "work"
        work.mkdir()
        with store() if extra == "s3" else nullcontext():
            run([python, "-c", FEATURES[extra]], cwd=work)
        said = "works"
    except subprocess.CalledProcessError as error:
        taken = time.perf_counter() - started
        last = (error.stderr or error.stdout or "").strip().splitlines()[-1:]
        said = f"fails: {' '.join(last)}".replace("|", "/")
    packages = len(list(site.glob("*.dist-info"))) - 1
    size = sum(f.stat().st_size for f in site.rglob("*") if f.is_file()) / 1e6
    return f"| {extra or 'none'} | {packages} | {size:.0f} | {taken:.0f} s | {said} |"


@contextmanager
def store() -> Iterator[None]:
    """A server of this environment that speaks S3 (moto), with a bucket, in `LATDIR_S3`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until and not answers(port):
                time.sleep(0.1)
            query = f"scheme=http&endpoint_override=127.0.0.1%3A{port}&region=us-east-1"
            place = f"s3://key:secret@labels{{}}?{query}"
            bucket, _ = fs.FileSystem.from_uri(f"{place.format('')}&allow_bucket_creation=true")
            bucket.create_dir("labels")
            os.environ["LATDIR_S3"] = place.format("/samples")
            yield
        finally:
            process.kill()


def answers(port: int) -> bool:
    """Whether a server listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(command: list[object], cwd: Path | None = None) -> None:
    """A command that must succeed, with nothing of this environment on its path."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    env = {k: v for k, v in os.environ.items() if k not in hidden} | {"HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, check=True, capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
