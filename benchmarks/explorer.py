"""From a key to painted pixels: the explorer's page, in JupyterLab, and Gradio, in turns.

    python benchmarks/explorer.py BANK [--jupyter] [--gradio-python PYTHON] [--out FILE]

All show the same bank of the same generator with a slider for each direction; scores are on in the
explorer. A press changes a slider in the page; the time ends when a frame has been drawn after the
new picture is on the canvas (explorer) or loaded into its element (Gradio). `--gradio-python` is a
Python that has gradio, torch and this project's dependencies.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from browsers import CHROMIUM, ROOT, SWITCHES, jupyter_lab, notebook, run_all
from playwright.sync_api import Page, sync_playwright

from directions import DirectionBank

DRAG_SECONDS = 3
# The frame that shows the picture has been handed over when the frame after it begins.
PRESS = """([count, find, mark]) => new Promise((done) => {
  const slider = eval(find)(), seen = eval(mark), times = [];
  const press = () => {
    const begun = performance.now(), before = seen();
    const forth = Number(slider.value) < 1.5;
    slider.value = Number(slider.value) + (forth ? 0.05 : -3);
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    const look = () => {
      if (seen() === before) return requestAnimationFrame(look);
      requestAnimationFrame(() => {
        times.push(performance.now() - begun);
        // From hurried to at leisure: some presses meet a running score.
        times.length < count ? setTimeout(press, 60 + 40 * (times.length % 7)) : done(times);
      });
    };
    requestAnimationFrame(look);
  };
  press();
})"""
DRAG = """([seconds, find, mark]) => new Promise((done) => {
  const slider = eval(find)(), seen = eval(mark);
  let pictures = 0, last = seen(), k = 0;
  const end = performance.now() + 1000 * seconds;
  const move = () => {
    if (seen() !== last) { pictures += 1; last = seen(); }
    const now = performance.now();
    if (now < end) {
      slider.value = 2 * Math.sin(++k / 20);
      slider.dispatchEvent(new Event('input', { bubbles: true }));
      return requestAnimationFrame(move);
    }
    // Settled when no picture has come for a while.
    let settled = now;
    const watch = () => {
      if (seen() !== last) { last = seen(); settled = performance.now(); }
      if (performance.now() - now < 800) return requestAnimationFrame(watch);
      done([pictures / seconds, settled - now]);
    };
    requestAnimationFrame(watch);
  };
  requestAnimationFrame(move);
})"""
OURS = (
    "() => document.querySelector('.slider input[type=range]')",
    "() => document.querySelector('.latdir-explorer canvas').dataset.painted",
)
GRADIOS = (
    "() => document.querySelector('input[type=range]')",
    "() => document.querySelector('#picture img')?.src",
)
GRADIO = """
import sys, torch
import gradio as gr
import directions as d
from directions.images.tensors import to_pil
bank = d.DirectionBank.load(sys.argv[1])
generator = d.load_generator(bank.generator)
space = next(iter({x.space for x in bank.directions}))
code, make = generator.sample(1, seed=11, space=space), generator.inference(space=space)
def draw(*amounts):
    return to_pil(make(d.move(code, bank, dict(zip(bank, amounts))))[0])
with gr.Blocks() as page:
    picture = gr.Image(value=draw(*[0.0] * len(bank)), elem_id="picture", format="webp")
    sliders = [gr.Slider(-3, 3, 0, step=0.05, label=name) for name in bank]
    for slider in sliders:
        slider.input(draw, sliders, picture, show_progress="hidden", trigger_mode="always_last")
page.launch(server_port=int(sys.argv[2]), quiet=True)
"""


CELL = """
import directions, latdir
bank = directions.DirectionBank.load({bank!r})
generator = directions.load_generator(bank.generator)
latdir.explore(bank, generator, directions.load_classifier({classifier!r}))
"""
EXPLORER_PORT, GRADIO_PORT = 7931, 7932

Open = Callable[[Page], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bank", type=Path)
    parser.add_argument("--classifier", default="faces+pixels")
    parser.add_argument("--jupyter", action="store_true", help="measure JupyterLab, too")
    parser.add_argument("--gradio-python", help="a Python that has gradio, to measure it, too")
    parser.add_argument("--presses", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bank = str(options.bank.resolve())
    figures: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        command = [sys.executable, "-m", "latdir", "explore", bank, "--port", f"{EXPLORER_PORT}"]
        page = [*command, "--classifier", options.classifier]
        hosts = {"explorer": (_served(stack, page, EXPLORER_PORT), OURS)}
        if options.jupyter:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            file = notebook(folder, CELL.format(bank=bank, classifier=options.classifier))
            address = stack.enter_context(jupyter_lab(folder))
            hosts["jupyterlab"] = (lambda page: run_all(page, address, file)), OURS
        if options.gradio_python:
            command = [options.gradio_python, "-c", GRADIO, bank, f"{GRADIO_PORT}"]
            hosts["gradio"] = (_served(stack, command, GRADIO_PORT), GRADIOS)
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=CHROMIUM, args=SWITCHES
        )
        for _ in range(options.rounds):
            for name, (visit, places) in hosts.items():
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                for figure, values in _measured(page, visit, places, options.presses).items():
                    figures.setdefault(name, {}).setdefault(figure, []).extend(values)
                page.close()
    result: dict[str, Any] = {name: _summary(values) for name, values in figures.items()}
    result["bank"] = f"{options.bank.name}: {len(DirectionBank.load(bank))} directions"
    result["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def _served(stack: ExitStack, command: list[str], port: int) -> Open:
    """Start a server; what opens its page."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False"}
    process = subprocess.Popen(command, env=environment)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    address = f"http://127.0.0.1:{port}/"
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            urlopen(address, timeout=2).read()
        except OSError:
            time.sleep(0.5)
        else:
            return lambda page: page.goto(address)
    raise SystemExit(f"nothing answers on port {port}")


def _measured(
    page: Page, visit: Open, places: tuple[str, str], presses: int
) -> dict[str, list[float]]:
    sizes: list[float] = []

    def count(data: str | bytes) -> None:
        frame = data if isinstance(data, bytes) else data.encode()
        if b'"verb":"picture"' in frame:
            sizes.append(float(len(frame)))

    page.on("websocket", lambda socket: socket.on("framereceived", count))
    visit(page)
    page.wait_for_selector("canvas[data-painted], #picture img", timeout=30000, state="visible")
    page.wait_for_timeout(2500)
    sizes.clear()
    times = page.evaluate(PRESS, [presses, *places])
    rate, settled = page.evaluate(DRAG, [DRAG_SECONDS, *places])
    return {"press_ms": times, "images_per_s": [rate], "settle_ms": [settled], "bytes": sizes}


def _summary(values: dict[str, list[float]]) -> dict[str, float]:
    press = sorted(values["press_ms"])
    made = {
        "press_ms_median": statistics.median(press),
        "press_ms_p95": press[int(0.95 * len(press))],
        "images_per_s": statistics.median(values["images_per_s"]),
        "settle_ms": statistics.median(values["settle_ms"]),
    }
    if values["bytes"]:
        made["bytes_median"] = statistics.median(values["bytes"])
        made["bytes_max"] = max(values["bytes"])
    return {name: round(value, 1) for name, value in made.items()}


if __name__ == "__main__":
    main()
