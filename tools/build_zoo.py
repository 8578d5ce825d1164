"""Rebuild the built-in models that come from three packages, verifying every byte.

    python tools/build_zoo.py                   download the packages, write directions/zoo
    python tools/build_zoo.py --check           rebuild in memory, compare with directions/zoo
    python tools/build_zoo.py --folder F [--check]      take packages that are in a folder already

The archives and each member used are pinned by sha256. Tensors are renamed and their axes put
in PyTorch's order; values are not touched, except that digiface64's convolution weights are
rounded to half precision (largest change of a pixel over 512 faces: 0.37 of 1/255), and as
`tfjs_faces.py` says for mobile-faces. Models that were trained here keep their entries in the
manifest; their cards name the command that made them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from tfjs_faces import GRAPHS, convert
from torch import Tensor

ZOO = Path(__file__).parents[1] / "directions" / "zoo"
WHEEL = "gan-face-generate==1.1.1"
FACE_API = "@vladmandic/face-api@1.7.15"
HUMAN = "@vladmandic/human@3.3.6"
PINS = {
    WHEEL: "24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
    FACE_API: "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    HUMAN: "425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7",
}
NETS = {
    "expression": "face_expression_model",
    "landmarks": "face_landmark_68_model",
    "age_gender": "age_gender_model",
    "recognition": "face_recognition_model",
    "detector": "tiny_face_detector_model",
}
MEMBERS = {
    "gan_face_generate/weights.tar": (
        "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f"
    ),
    "gan_face_generate-1.1.1.dist-info/licenses/LICENSE": (
        "62ed31567250ca33432d1fea205844aac5cc85559f4b44342f91d355a12f36e3"
    ),
    "package/LICENSE": ("9a3442b79acaf4fbc7c2e07b7e2d8f84af9bb3871bf08a69d80304ab00640e9a"),
    "package/model/face_expression_model-weights_manifest.json": (
        "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8"
    ),
    "package/model/face_expression_model.bin": (
        "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d"
    ),
    "package/model/face_landmark_68_model-weights_manifest.json": (
        "ca4886639f86e99b39fed0c155f81b63317225773bd9616716e887b0153389c9"
    ),
    "package/model/face_landmark_68_model.bin": (
        "4611ef65c87d836d03d684b30eec4d195d8b219fa1dd58fc58945831c6b9299b"
    ),
    "package/model/age_gender_model-weights_manifest.json": (
        "74b60bf3ebf981bf4e661e9cca3a185614e10b25d797118b62e2a68d3ff2569f"
    ),
    "package/model/age_gender_model.bin": (
        "49f92bbc0afef2342c4385e4a2b0acb6d7a727c6f0aa539499719a81acf9abaa"
    ),
    "package/model/face_recognition_model-weights_manifest.json": (
        "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b"
    ),
    "package/model/face_recognition_model.bin": (
        "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589"
    ),
    "package/model/tiny_face_detector_model-weights_manifest.json": (
        "5d1af4849ac48d5b985f4a9b16010c512353ddd6fcc63d50fd0bc9e9e64296e5"
    ),
    "package/model/tiny_face_detector_model.bin": (
        "b7503ce7df31039b1c43316a9b865cab6a70dd748cc602d3fa28b551503c3871"
    ),
    "package/models/emotion.json": (
        "56f7e557eb0c863a8b9ab04ac7ccba756e93bf2c27dce135ef0e8712b80b7ad2"
    ),
    "package/models/emotion.bin": (
        "927ac8224f356ab1e68c2bcfbfa07b0c8567047d1bcf817388ba6e38214c4987"
    ),
    "package/models/facemesh.json": (
        "b60ca26f404724f43bd2b1575761d8265180e1f053cc0731caa68462927309e7"
    ),
    "package/models/facemesh.bin": (
        "3826da640b0a3021161605369ee6af293f75d518040355b960ec71a3390c1c0b"
    ),
    "package/models/faceres.json": (
        "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df"
    ),
    "package/models/faceres.bin": (
        "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b"
    ),
}


@dataclass(frozen=True)
class Package:
    """Members of a verified archive."""

    name: str
    members: dict[str, bytes]

    def member(self, path: str) -> bytes:
        """One member's bytes, verified."""
        data = self.members[path]
        expect(f"{self.name}: {path}", data, MEMBERS[path])
        return data


def expect(what: str, data: bytes, sha256: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        sys.exit(
            f"{what} has sha256 {found}, expected {sha256}: it is not the file this was built from"
        )


def fetch(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def read_wheel(path: Path) -> Package:
    data = path.read_bytes()
    expect(str(path), data, PINS[WHEEL])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return Package(WHEEL, {n: archive.read(n) for n in archive.namelist() if n in MEMBERS})


def read_tarball(path: Path, name: str) -> Package:
    data = path.read_bytes()
    expect(str(path), data, PINS[name])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return Package(
            name, {n: archive.extractfile(n).read() for n in archive.getnames() if n in MEMBERS}
        )


def digiface64(package: Package) -> dict[str, Tensor]:
    """The DCGAN's five deconvolutions and four batch norms, under plain names."""
    archive = package.member("gan_face_generate/weights.tar")
    state = torch.load(io.BytesIO(archive), map_location="cpu", weights_only=True)[
        "netG_state_dict"
    ]
    tensors = {}
    for key, value in state.items():
        _, index, field = key.split(".")
        if field == "num_batches_tracked":
            continue
        layer, offset = divmod(int(index), 3)
        if offset == 0:
            tensors[f"deconv.{layer}.{field}"] = value.half()
        else:
            tensors[f"norm.{layer}.{field}"] = value
    return tensors


def face_net(package: Package, stem: str) -> dict[str, Tensor]:
    """One net's weights in PyTorch's axis order; quantized ones stay uint8."""
    (group,) = json.loads(package.member(f"package/model/{stem}-weights_manifest.json"))
    data = package.member(f"package/model/{stem}.bin")
    separable = {w["name"].rpartition("/")[0] for w in group["weights"] if "depthwise" in w["name"]}
    tensors, start = {}, 0
    for weight in group["weights"]:
        quantization = weight.get("quantization")
        dtype = np.dtype(np.uint8 if quantization else "<f4")
        count = int(np.prod(weight["shape"]))
        array = np.frombuffer(data, dtype, count, start).reshape(weight["shape"])
        start += count * dtype.itemsize
        key, axes = renamed(weight["name"], separable)
        tensors[key] = torch.from_numpy(array.transpose(axes or range(array.ndim)).copy())
        if quantization:
            affine = [quantization["scale"], quantization["min"]]
            tensors[f"{key}.affine"] = torch.tensor(affine, dtype=torch.float64)
    if start != len(data):
        sys.exit(f"{stem}: the manifest covers {start} of {len(data)} bytes")
    return tensors


def renamed(name: str, separable: set[str]) -> tuple[str, tuple[int, ...]]:
    """A TensorFlow weight's name and axes, made those of a PyTorch module."""
    module, _, field = name.rpartition("/")
    module = module.replace("/", ".")
    match field:
        case "depthwise_filter":
            return f"{module}.depthwise.weight", (2, 3, 0, 1)
        case "pointwise_filter":
            return f"{module}.pointwise.weight", (3, 2, 0, 1)
        case "filters":
            return f"{module}.weight", (3, 2, 0, 1)
        case "weights" if module.endswith("scale"):
            return f"{module}.weight", ()
        case "weights":
            return f"{module}.weight", (1, 0)
        case "fc":
            return "fc.weight", (1, 0)
        case "bias" if name.rpartition("/")[0] in separable:
            return f"{module}.pointwise.bias", ()
        case "bias" | "biases":
            return f"{module}.bias", ()
    sys.exit(f"unknown weight {name}")


def build(wheel: Package, face_api: Package, human: Package) -> dict[str, bytes]:
    """Every file of the zoo but the cards, by its path below directions/zoo."""
    weights = {"digiface64": (save(digiface64(wheel)), wheel, ["gan_face_generate/weights.tar"])}
    for net, stem in NETS.items():
        members = [f"package/model/{stem}{end}" for end in ("-weights_manifest.json", ".bin")]
        weights[f"faces/{net}"] = (save(face_net(face_api, stem)), face_api, members)
    for net, (stem, _) in GRAPHS.items():
        members = [f"package/models/{stem}{end}" for end in (".json", ".bin")]
        tensors = convert(net, *(human.member(member) for member in members))
        weights[f"mobile-faces/{net}"] = (save(tensors), human, members)
    files, manifest = {}, {}
    for name, (data, package, members) in weights.items():
        path = f"{name}.safetensors" if "/" in name else f"{name}/weights.safetensors"
        files[path] = data
        manifest[name] = {
            "file": path,
            "sha256": hashlib.sha256(data).hexdigest(),
            "source": {
                "package": package.name,
                "sha256": PINS[package.name],
                "members": {member: MEMBERS[member] for member in members},
            },
        }
    there = json.loads((ZOO / "manifest.json").read_text())
    trained = {n: entry for n, entry in there.items() if "package" not in entry["source"]}
    files["manifest.json"] = (json.dumps(manifest | trained, indent=2) + "\n").encode()
    files["digiface64/LICENSE"] = wheel.member("gan_face_generate-1.1.1.dist-info/licenses/LICENSE")
    files["faces/LICENSE"] = face_api.member("package/LICENSE")
    files["mobile-faces/LICENSE"] = human.member("package/LICENSE")
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help=f"has {', '.join(PINS)}, already downloaded")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        if not options.folder:
            fetch([sys.executable, "-m", "pip", "download", "--no-deps", "-q", WHEEL], folder)
            fetch(["npm", "pack", "--silent", FACE_API, HUMAN], folder)
        wheel = read_wheel(next(folder.glob("gan_face_generate-*.whl")))
        face_api, human = (
            read_tarball(
                next(folder.glob(f"{name[1:].replace('/', '-').replace('@', '-')}.tgz")), name
            )
            for name in (FACE_API, HUMAN)
        )
    for path, data in build(wheel, face_api, human).items():
        target = ZOO / path
        same = target.is_file() and target.read_bytes() == data
        if options.check and not same:
            sys.exit(f"{target} differs from what the packages give: run this without --check")
        if not same:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)
        print(f"{'same' if same else 'written':8}{len(data):>9,} bytes  {path}")


if __name__ == "__main__":
    main()
