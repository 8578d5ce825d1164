"""A CUDA card beside the CPU and beside the plain loop; one JSON of all figures.

    python3 benchmarks/gpu.py                        # a card, under 8 minutes
    python3 benchmarks/gpu.py --quick --device cpu   # small sizes, to try the script itself
    make gpu                                         # the tests marked `cuda` before it

It needs Python with torch, numpy, scipy, scikit-learn and safetensors, and installs nothing. The
figures are medians of three turns, the sides taking turns:

- rates: labeled images a second of generator and face classifier. `plain` is the loop that one
  writes first: float32, the differentiable forms, a fixed batch, scores brought to the CPU after
  each. `float32` and `bfloat16` are the `Scorer`, at the batch it measures as fastest; `chosen` is
  what it takes by itself, `graph` that with batches replayed from a CUDA graph. PyTorch lets
  convolutions of all of them round to TF32 unless told otherwise; `environment` says what was set.
- methods: seconds on the device and, once, on the CPU.
- parity: IEEE float32 on the device beside float64 and the plain forms on the CPU: codes, images,
  scores, directions, each with its tolerance. A figure outside makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch
from without_jaxtyping import stand_in

PARTS = ("rates", "methods", "parity")


def main() -> int:
    options = arguments()
    # The packages of this checkout, before they are imported.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    absent = stand_in()
    import gpu_figures

    from directions.devices import resolve_device
    from directions.errors import LatdirError

    try:
        device = resolve_device(options.device)
    except LatdirError as error:
        sys.exit(f"{error} (--quick --device cpu tries the script without a card)")
    sizes = gpu_figures.Sizes(options.quick)
    started = time.perf_counter()
    found = {"environment": environment(device) | {"quick": options.quick, "stand_in": absent}}
    for name in options.parts:
        found[name] = getattr(gpu_figures, name)(device, sizes)
        found["seconds"] = round(time.perf_counter() - started, 1)
        # After each part, so that a run that is stopped leaves what it measured.
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(
            json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    print(f"{options.out}: {found['seconds']:.0f} s on {found['environment']['device']}")
    return 0 if all(row["within"] for row in found.get("parity", ())) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, mps, or cpu")
    parser.add_argument("--quick", action="store_true", help="small sizes, about a minute on a CPU")
    parser.add_argument("--out", type=Path, default=Path("out/gpu.json"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    return parser.parse_args()


def environment(device: torch.device) -> dict[str, Any]:
    """The machine and the settings that figures depend on."""
    from directions.devices import device_name

    card: dict[str, Any] = {}
    if device.type == "cuda":
        known = torch.cuda.get_device_properties(device)
        card = {
            "memory_gib": round(known.total_memory / 2**30, 1),
            "capability": f"{known.major}.{known.minor}",
            "cudnn": torch.backends.cudnn.version(),
        }
    return {
        "device": device_name(device),
        **card,
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "tf32": {
            "convolutions": torch.backends.cudnn.allow_tf32,
            "products": torch.backends.cuda.matmul.allow_tf32,
        },
    }


if __name__ == "__main__":
    sys.exit(main())
