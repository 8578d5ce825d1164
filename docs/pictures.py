"""What the examples of the site show: the image they call `picture`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from joblib.externals.loky import process_executor

from directions.progress import progress_bars

hidden: list[AbstractContextManager[None]] = []


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save an example's `picture`, once, and return the markup that shows it."""
    from sphinx_gallery.scrapers import figure_rst

    image = block_vars["example_globals"].pop("picture", None)
    if image is None:
        return ""
    path = str(next(block_vars["image_path_iterator"]))
    image.save(path)
    return str(figure_rst([path], gallery_conf["src_dir"]))


def _get_sg_image_scraper() -> Any:
    return scrape


def quiet(gallery_conf: dict[str, Any], name: str) -> None:
    """No progress bars in examples, and one process for many of them."""
    if not hidden:
        # Models that stay in memory would pass for a leak, and the process be started anew.
        process_executor._MAX_MEMORY_LEAK_SIZE = 2**40
        hidden.append(progress_bars(False))
        hidden[0].__enter__()
