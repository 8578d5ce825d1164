"""Checkpoint files with damage done to them, and a worker that loads them under watch.

Run as a program it loads files `start` … `start + count - 1` of a seed and prints a JSON line:
how many loaded, how many were refused, and everything that went otherwise. It watches for
exceptions other than `LatdirError`, for anything executed, compiled or imported, and for memory.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from directions import LatdirError, load_generator
from tests.directions.generators.checkpoints import written
from tests.parity import FIXTURES

REAL = (
    *("sg3_t64/network-snapshot.pkl", "gf_stylegan1_64/gf_stylegan1_64.pth"),
    *("gf_pggan64/gf_pggan64.pth", "sg2ada_cond10/network-snapshot.pkl"),
    *("ros_narrow64_converted/checkpoint.pt", "biggan_deep64/pytorch_model.bin"),
)
# The real files are a hundred times larger than those written here.
SHARE_OF_REAL = 0.02
MOST_SECONDS = 10.0
MOST_GROWTH_KB = 96 << 10

NAMES = (
    *(b"torch_utils.persistence", b"_reconstruct_persistent_obj", b"collections", b"OrderedDict"),
    *(b"torch._utils", b"_rebuild_parameter", b"_rebuild_tensor_v2", b"torch.storage"),
    *(b"_load_from_bytes", b"numpy._core.multiarray", b"scalar", b"_reconstruct", b"dnnlib.util"),
    *(b"EasyDict", b"dtype", b"numpy", b"FloatStorage", b"torch", b"ndarray", b"argparse"),
)
HOSTILE = (
    *(b"posix", b"system", b"builtins", b"eval", b"exec", b"getattr", b"os", b"subprocess"),
    *(b"Popen", b"__import__", b"compile", b"nt", b"types", b"FunctionType", b"load", b"runpy"),
)
SNIPPETS = (
    b"cposix\nsystem\n\x8c\x0atouch pwned\x85R",
    b"cbuiltins\neval\n\x8c\x031+1\x85R0",
    b"\x8c\x05posix\x8c\x06system\x93\x8c\x0atouch pwned\x85R",
    b"(" * 4096,
    b"2" * 4096,
    b"\x8f" * 4096,
    b"}" * 4096,
    b"\x85" * 4096,
    b"]\x94" * 2048,
    b"r\xff\xff\xff\x7f",
    b"j\xff\xff\xff\x7f",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x8d\xff\xff\xff\xff\x00\x00\x00\x00",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x8b\xff\xff\xff\x7f",
    b"J\xff\xff\xff\x7f",
    b"Q",
    b"b",
    b"R",
    b"\x81",
    b".",
)


def corpus() -> dict[str, bytes]:
    """Small files of every container."""
    files: dict[str, bytes] = {}
    state = written.stylegan2_state(channels=(4, 4), z_dim=5, w_dim=5, hidden=5)
    module = written.nvidia_module(state, kwargs={"synthesis_kwargs": {"conv_clamp": 256}})
    network = written.tensorflow_stylegan2(state)
    layout = written.rosinality_state(state)
    latent = {"g_ema": layout, "latent_avg": state["mapping.w_avg"]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pkl"
        for protocol in (2, 4):
            written.nvidia_file(module, path, protocol=protocol)
            files[f"nvidia {protocol}"] = path.read_bytes()
        for protocol in (4, 5):
            written.dump((network, network, network), path, protocol=protocol)
            files[f"tensorflow {protocol}"] = path.read_bytes()
    buffer = io.BytesIO()
    torch.save(latent, buffer)
    files["zip"] = buffer.getvalue()
    files["legacy"] = written.legacy_bytes(latent)
    files["safetensors"] = save({k: v.clone() for k, v in state.items()})
    return files


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three kinds of damage."""
    if data[:2] == b"PK" and rng.random() < 0.6:
        return _inside_archive(data, rng)
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, max(1, len(out))))
        match int(rng.integers(0, 7)):
            case 0:
                for _ in range(int(rng.integers(1, 9))):
                    out[int(rng.integers(0, len(out)))] ^= 1 << int(rng.integers(0, 8))
            case 1:
                del out[max(1, at) :]
            case 2 | 3:
                _swap(out, rng)
            case 4:
                # Near the beginning, where a pickle's structure is; data follows later.
                place = at if rng.random() < 0.5 else int(at**0.5)
                out[place:place] = SNIPPETS[int(rng.integers(0, len(SNIPPETS)))]
            case 5:
                size = int(rng.integers(1, 64))
                out[at:at] = out[int(rng.integers(0, len(out))) :][:size]
            case _:
                out[at : at + 4] = int(rng.choice([0, 0x7FFFFFFF, 0xFFFFFFFF])).to_bytes(
                    4, "little"
                )
    return bytes(out)


def _swap(out: bytearray, rng: np.random.Generator) -> None:
    """Another name in place of a global's, its length made right."""
    old = NAMES[int(rng.integers(0, len(NAMES)))]
    new = (HOSTILE + NAMES)[int(rng.integers(0, len(HOSTILE) + len(NAMES)))]
    places = [i for i in range(len(out)) if out.startswith(old, i)][:50]
    if not places:
        return
    at = places[int(rng.integers(0, len(places)))]
    if at >= 2 and out[at - 2] == 0x8C and out[at - 1] == len(old):
        out[at - 1] = len(new)
    elif at >= 5 and out[at - 5] == ord("X") and out[at - 4] == len(old):
        out[at - 4] = len(new)
    out[at : at + len(old)] = new


def _inside_archive(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage to one member, in an archive whose checksums are right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        chosen = "data.pkl"
        if rng.random() < 0.2:
            chosen = source.namelist()[int(rng.integers(0, len(source.namelist())))]
        for name in source.namelist():
            content = source.read(name)
            hit = name.endswith(chosen)
            target.writestr(name, mutate(content, rng) if hit and content else content)
    return out.getvalue()


class Watch:
    """Notes everything that a loader must not do, while it is on."""

    EVENTS = ("exec", "compile", "import", "pickle.find_class", "marshal.loads", "os.system")
    PREFIXES = ("subprocess.", "ctypes.", "os.exec", "os.fork", "os.spawn", "socket.", "shutil.")

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and (event in self.EVENTS or event.startswith(self.PREFIXES)):
            self.seen.append(f"{event} {str(arguments)[:80]}")


def _alarmed(number: int, frame: Any) -> None:
    raise TimeoutError


def run(seed: int, start: int, count: int) -> dict[str, Any]:
    """Load mutated files and tell what came of it."""
    torch.set_num_threads(1)
    # The codec of old archives' names, which Python imports when it first meets one.
    "".encode("cp437")
    small = corpus()
    real = {name: (FIXTURES / name).read_bytes() for name in REAL if (FIXTURES / name).is_file()}
    watch = Watch()
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.pkl"
        config = FIXTURES / "biggan_deep64" / "biggan_config.json"
        if config.is_file():
            path.with_name(config.name).write_bytes(config.read_bytes())
        for data in (*small.values(), *real.values()):
            path.write_bytes(data)
            load_generator(path)
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        limit = _address_space() + (1 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        signal.signal(signal.SIGALRM, _alarmed)
        for index in range(start, start + count):
            rng = np.random.default_rng([seed, index])
            files = real if real and rng.random() < SHARE_OF_REAL else small
            name = list(files)[int(rng.integers(0, len(files)))]
            path.write_bytes(mutate(files[name], rng))
            signal.alarm(120)
            began = time.process_time()
            watch.on = True
            try:
                load_generator(path)
                outcome = "loaded"
            except LatdirError as error:
                outcome = "refused"
                if "more memory" in str(error) or "allocate" in str(error):
                    outcome = f"out of memory: {error}"
            except BaseException as error:
                outcome = f"{type(error).__name__}: {str(error)[:200]}"
            watch.on = False
            signal.alarm(0)
            seconds = time.process_time() - began
            slowest = max(slowest, seconds)
            outcomes[outcome if outcome in ("loaded", "refused") else "wrong"] += 1
            if outcome not in ("loaded", "refused") or watch.seen or seconds > MOST_SECONDS:
                wrong.append(f"{name} {index}: {outcome} {watch.seen[:2]} {seconds:.1f} s")
                watch.seen.clear()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - growth
        if grown > MOST_GROWTH_KB:
            wrong.append(f"memory grew by {grown >> 10} MB")
    return {**outcomes, "wrong_list": wrong, "slowest": slowest, "grown_mb": grown >> 10}


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:4]))))
