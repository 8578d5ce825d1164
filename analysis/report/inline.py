"""Figures and images embedded in a self-contained page."""

from __future__ import annotations

import base64
import io
import re
from html import escape

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from analysis.plots.theme import LIGHT, Theme
from directions.images import resize, to_pil

__all__ = ["css_colors", "data_url", "inline_svg", "mosaic"]

_IDENTIFIER = re.compile(r'(?<=id=")[^"]+(?=")')
_REFERENCE = re.compile(r'(?<=href="#)[^"]+(?=")|(?<=url\(#)[^)]+(?=\))')


def _tokens(theme: Theme) -> dict[str, str]:
    plain = {
        "paper": theme.background,
        "ink": theme.ink,
        "quiet": theme.quiet,
        "line": theme.grid,
    }
    return plain | {f"series-{i}": color for i, color in enumerate(theme.series)}


def css_colors(theme: Theme) -> str:
    """A theme's colors as CSS custom properties, for the page and the figures in it.

    Example:
        >>> css_colors(LIGHT)[:32]
        '--paper: #ffffff; --ink: #1c2430'
    """
    down, up = (_hex(theme.diverging(end)) for end in (0.0, 1.0))
    colors = {**_tokens(theme), "down": down, "up": up}
    return "; ".join(f"--{name}: {color}" for name, color in colors.items())


def _hex(color: tuple[float, float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in color[:3])


def inline_svg(figure: Figure, *, label: str, prefix: str) -> str:
    """A figure in the light theme as SVG for a page, its colors those of `css_colors`.

    Drawn once, it follows the reader's light or dark setting. Equal figures give equal text.

    Args:
        figure: Drawn in the light theme, without color maps.
        label: Description for screen readers.
        prefix: Unique in the page; distinguishes the identifiers of several figures.

    Returns:
        An `<svg>` element.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    names = {old: f"{prefix}-{i}" for i, old in enumerate(dict.fromkeys(_IDENTIFIER.findall(text)))}
    for pattern in (_IDENTIFIER, _REFERENCE):
        text = pattern.sub(lambda found: names[found.group()], text)
    for name, color in _tokens(LIGHT).items():
        text = re.sub(re.escape(color), f"var(--{name})", text, flags=re.IGNORECASE)
    head = f'<svg role="img" aria-label="{escape(label, quote=True)}"'
    return text.replace("<svg", head, 1)


def mosaic(
    images: Float[Tensor, "rows columns 3 h w"], *, tile: int = 128
) -> Float[Tensor, "3 height width"]:
    """Images side by side, larger ones shrunk to `tile` pixels.

    Example:
        >>> mosaic(torch.zeros(2, 3, 3, 64, 64)).shape
        torch.Size([3, 128, 192])
    """
    rows, columns, channels, height, width = images.shape
    flat = images.flatten(0, 1)
    if height > tile:
        flat = resize(flat, (tile, round(tile * width / height)))
    tiles = flat.reshape(rows, columns, channels, *flat.shape[-2:])
    return torch.cat(list(torch.cat(list(tiles), -2)), -1)


def data_url(image: Float[Tensor, "3 h w"]) -> str:
    """An image as a JPEG data URL."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, format="JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
