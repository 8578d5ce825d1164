"""Pictures of the explorer: that of README and guide, and those of each width and color scheme.

    python tools/explorer_pictures.py BANK [--looks FOLDER]

`BANK` is a calibrated one of digiface64, such as out/demo/faces.safetensors of `make demo`.
The page is driven in Chromium: a face smiles while what it locks is held.
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from directions import DirectionBank, load_classifier, load_generator
from latdir.explorer.hosts.server import application, listening, web_server
from latdir.explorer.session import Session

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.browsers import CHROMIUM, SWITCHES  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "explorer.png"
SIZES = {"1280": (1280, 900), "390": (390, 844)}
SEED, LOCK = 26, "yaw"
EDITS = {"smiling": 1.3, "age": -0.6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bank", type=Path)
    parser.add_argument("--looks", type=Path, help="folder for a picture of each width and scheme")
    options = parser.parse_args()
    generator = load_generator("digiface64")
    bank = DirectionBank.load(options.bank, generator)
    models: tuple[Any, ...] = bank, generator, load_classifier("faces")
    first = Session(*models)
    server = web_server(application(lambda: Session(*models, beside=first)))
    with listening("127.0.0.1", 0) as taken, sync_playwright() as started:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        browser = started.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        page = edited(browser, address, compared=False, viewport={"width": 1200, "height": 800})
        page.screenshot(path=PICTURE, full_page=True)
        # The colors of a page are few, but for the face.
        Image.open(PICTURE).convert("RGB").quantize(256).save(PICTURE, optimize=True)
        if options.looks:
            options.looks.mkdir(parents=True, exist_ok=True)
            for name, (width, height) in SIZES.items():
                for scheme in ("light", "dark"):
                    size = {"width": width, "height": height}
                    scale = 1 if width > 400 else 2
                    page = edited(
                        browser, address, viewport=size, color_scheme=scheme,
                        device_scale_factor=scale,
                    )  # fmt: skip
                    page.screenshot(path=options.looks / f"{name}_{scheme}.png", full_page=True)
        browser.close()
        server.should_exit = True
        thread.join()


def edited(browser: Browser, address: str, *, compared: bool = True, **window: Any) -> Page:
    """The page after an edit, with one attribute locked and two pictures on the shelf."""
    page = browser.new_context(**window).new_page()
    page.goto(address)
    page.wait_for_selector("canvas[data-painted]")
    seed = page.get_by_role("spinbutton", name="Seed", exact=True)
    seed.fill(str(SEED))
    seed.press("Enter")
    page.get_by_role("button", name="Keep on the shelf (K)").click()
    page.get_by_role("button", name=f"Lock {LOCK}").first.click()
    for name, amount in EDITS.items():
        number = page.get_by_role("spinbutton", name=f"{name}, amount")
        number.fill(str(amount))
        number.press("Enter")
    expect(page.locator(".slider.held").first).to_be_visible(timeout=90000)
    page.wait_for_timeout(6000)
    page.get_by_role("button", name="Keep on the shelf (K)").click()
    boxes = page.locator(".shelf").get_by_role("checkbox")
    expect(boxes).to_have_count(2)
    for k in range(2 if compared else 0):
        boxes.nth(k).check()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_timeout(1000)
    return page


if __name__ == "__main__":
    main()
