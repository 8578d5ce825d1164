"""The report in a real browser: nothing fetched, no complaint, in light, dark, print and narrow.

The browser is Debian's chromium, `apt-get install chromium`; without it these tests skip, and
`test_report.py` still holds that the page names nothing to fetch.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis import effects_of, measure_curves, write_report
from analysis.edits.accuracy import editing_accuracy
from analysis.edits.calibration import apply_calibrations, calibration_curves
from analysis.edits.consistency import edit_consistency, level_edits
from directions.planted.world import planted
from tests.analysis.measured import true_bank

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no chromium on this machine: apt-get install chromium"
)
NOBODY = "not an origin"
NARROW = 500  # chromium's headless windows are no narrower


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    generator = planted(factors=3, dim=24, cosine=0.6, names=["smiling", "age", "yaw"])
    classifier, bank = generator.classifier(), true_bank(generator)
    curves = measure_curves(
        generator, classifier, bank, count=12, embed=lambda images: images.flatten(1)
    )
    bank = apply_calibrations(bank, calibration_curves(curves))
    return write_report(
        tmp_path_factory.mktemp("browser") / "report.html",
        bank=bank,
        effects=effects_of(curves),
        generator=generator,
        results={
            "accuracy": editing_accuracy(generator, classifier, bank, count=12, seed=3),
            "consistency": edit_consistency(
                generator, classifier, level_edits(bank, {"smiling": 1.0, "age": 1.0}), space="z",
                count=12,
            ),
        },
    )  # fmt: skip


def browse(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-extensions", f"--user-data-dir={page.parent / 'profile'}",
        *flags, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def requests_of(page: Path) -> tuple[set[str], str]:
    """Addresses the page asked for, and what the browser logged; not its own errands."""
    log = page.with_suffix(".net.json")
    done = browse(page, "--enable-logging=stderr", "--dump-dom", f"--log-net-log={log}")
    assert "</html>" in done.stdout
    params = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    # What the browser asks for itself, updates say, has no origin.
    asked = {p["url"] for p in params if "url" in p and p.get("initiator") not in (None, NOBODY)}
    return {url for url in asked if not url.startswith("data:")}, done.stderr


@needs_browser
def test_nothing_is_fetched_and_nothing_is_complained_about(page):
    fetched, said = requests_of(page)
    assert fetched == set()
    assert "CONSOLE" not in said
    # The same look at a page that does fetch and complain sees both.
    other = page.parent / "other.html"
    script = "<script>console.error('a complaint')</script>"
    other.write_text(f"<html><body><img src='http://127.0.0.1:9/x.png'>{script}</body></html>")
    fetched, said = requests_of(other)
    assert fetched == {"http://127.0.0.1:9/x.png"}
    assert "a complaint" in said


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_it_follows_light_and_dark(page, dark):
    shot = page.parent / f"{dark}.png"
    # In chromium's settings 0 is dark and 1 light.
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    browse(page, scheme, "--window-size=1200,2400", f"--screenshot={shot}")
    pixels = np.asarray(Image.open(shot).convert("L")).astype(float)
    # Most of a page is its paper; text makes the rest.
    paper = float(np.median(pixels))
    assert (paper < 60) if dark else (paper > 200)
    assert np.abs(pixels - paper).max() > 120


@pytest.mark.slow
@needs_browser
def test_on_a_phone_no_text_is_wider_than_the_page(page):
    """Tables scroll in their own boxes; everything else must fit."""
    probe = page.parent / "narrow.html"
    script = """<script>addEventListener("load", () => {
      const wide = [...document.querySelectorAll("main *")].filter(
        e => !e.closest(".wide, svg, pre") && e.getBoundingClientRect().right > innerWidth + 1);
      const names = wide.map(e => e.outerHTML.slice(0, 80));
      document.title = JSON.stringify([document.documentElement.scrollWidth, innerWidth, names]);
    })</script>"""
    text = page.read_text(encoding="utf-8")
    # The page itself forbids scripts; this copy lets the probe run.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', script, text)
    probe.write_text(text, encoding="utf-8")
    done = browse(probe, f"--window-size={NARROW},900", "--dump-dom")
    found = re.search(r"<title>(.*?)</title>", done.stdout, flags=re.DOTALL)
    scrolled, inner, wide = json.loads(found.group(1).replace("&gt;", ">").replace("&lt;", "<"))
    assert wide == []
    assert scrolled <= inner


@pytest.mark.slow
@needs_browser
def test_it_prints(page):
    sheet = page.parent / "report.pdf"
    browse(page, f"--print-to-pdf={sheet}")
    assert sheet.read_bytes().startswith(b"%PDF")
    assert sheet.stat().st_size > 20_000
