"""Small encoder files in the authors' layout."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from directions.inversion.encoders import EncoderConfig, StyleEncoder
from tests.directions.generators.checkpoints import written

STYLES, CODE = 4, 9
IR_SE = EncoderConfig("ir_se", 3, (4, 6, 8, 10), (2, 1, 1, 1), CODE, (4,) * STYLES, reduction=2)


def random_state(config: EncoderConfig, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    state = StyleEncoder(config).state_dict()
    return {
        k: v + 0.05 * torch.rand_like(v) if v.is_floating_point() else v for k, v in state.items()
    }


def encoder_file(
    folder: Path,
    config: EncoderConfig = IR_SE,
    *,
    options: Any = None,
    mean: Tensor | None = None,
    **changes: Any,
) -> Path:
    """A file in the authors' layout around a small random encoder and generator."""
    decoder = written.rosinality_state(written.stylegan2_state(channels=(8, 8), w_dim=CODE))
    state = {f"encoder.{k}": v for k, v in random_state(config).items()}
    state |= {f"decoder.{k}": v for k, v in decoder.items()}
    draw = torch.Generator().manual_seed(3)
    value = {
        "state_dict": state,
        "latent_avg": torch.randn(CODE, generator=draw) if mean is None else mean,
        "opts": {"encoder_type": "GradualStyleEncoder"} if options is None else options,
        **changes,
    }
    path = folder / "small_encode.pt"
    torch.save({k: v for k, v in value.items() if v is not ...}, path)
    return path
