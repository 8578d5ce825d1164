"""The page's tests again, on the widget in JupyterLab, and what only a notebook has."""

import json
import statistics
from importlib.util import find_spec

import pytest

from benchmarks.browsers import jupyter_lab, notebook, run_all
from tests.latdir.explorer import test_page

# Run again here, with this module's fixtures `port` and `visit`.
from tests.latdir.explorer.test_page import (  # noqa: F401
    PRESSED,
    playwright,
    slider,
    test_a_picture_restores_its_state_and_another_file_is_a_sentence,
    test_a_whole_edit_and_an_export_by_keyboard_alone,
    test_copied_code_makes_the_image_on_the_page,
    test_every_control_has_a_name,
    test_locks_move_other_thumbs,
    test_the_original_is_shown_while_b_is_held,
    test_two_hundred_moves_in_a_second_end_at_the_last,
)
from tests.latdir.explorer.test_teach_tab import (  # noqa: F401
    test_a_lesson_by_keyboard_alone_ends_in_a_slider,
)

# Not `importorskip`: a module whose import was cut short is collected with what it had imported.
pytestmark = [
    *test_page.pytestmark,
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("jupyterlab") is None,
        reason="JupyterLab is not installed: latdir[notebooks]",
    ),
]

MODELS = """
import directions, discovery, latdir
generator = directions.load_generator("digiface64")
bank = directions.DirectionBank.load("bank.safetensors", generator)
faces = directions.load_classifier("faces+pixels")
teach = discovery.Teach(features="pixels", n_codes=256)
"""
SHOWN = "latdir.explore(bank, generator, faces, teach=teach)"


@pytest.fixture(scope="module")
def port(faces, tmp_path_factory):
    """A folder, and the address of JupyterLab over it."""
    folder = tmp_path_factory.mktemp("lab")
    faces[0].save(folder / "bank.safetensors")
    with jupyter_lab(folder) as address:
        yield folder, address


@pytest.fixture
def visit(browser):
    contexts = []

    def go(port, *, name="explore.ipynb", **options):
        folder, address = port
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options})
        contexts.append(context)
        page = context.new_page()
        run_all(page, address, notebook(folder, MODELS, SHOWN, name=name))
        return page

    yield go
    for context in contexts:
        context.close()


def test_a_key_is_soon_a_picture(visit, port):
    times = visit(port).evaluate(PRESSED, ["smiling", 30])
    # A guard for busy machines; `benchmarks/explorer.py --jupyter` measures on a quiet one.
    assert statistics.median(times) < 200


def test_keys_do_not_reach_jupyterlab(visit, port):
    page = visit(port)
    # In JupyterLab these insert a cell, delete one and change its kind.
    for key in ("a", "d", "d", "m", "z"):
        slider(page, "smiling").press(key)
    assert page.evaluate("jupyterapp.shell.currentWidget.content.widgets.length") == 2


def test_a_saved_notebook_shows_the_last_picture(visit, port, browser):
    folder, address = port
    page = visit(port, name="saved.ipynb")
    for _ in range(10):
        slider(page, "smiling").press("ArrowRight")
    playwright.expect(slider(page, "smiling")).to_have_attribute("aria-valuetext", "0.5 sigma")
    playwright.expect(page.locator(".latdir-still")).to_be_hidden()
    page.wait_for_timeout(1500)
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1500)
    outputs = json.loads((folder / "saved.ipynb").read_text())["cells"][1]["outputs"]
    assert outputs[-1]["data"]["text/plain"] == ["seed 11: smiling +0.5\u03c3"]
    other = browser.new_page()
    other.goto(f"{address}lab/tree/saved.ipynb?reset")
    picture = other.locator(".latdir-still img")
    playwright.expect(picture).to_be_visible(timeout=60000)
    assert picture.evaluate("image => image.naturalWidth") == 64
    other.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_theme(visit, port, scheme):
    page = visit(port)
    theme = f"JupyterLab {scheme.title()}"
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    page.wait_for_timeout(1500)
    color = "getComputedStyle(document.querySelector('.latdir-explorer')).backgroundColor"
    assert (sum(json.loads(f"[{page.evaluate(color)[4:-1]}]")) < 200) == (scheme == "dark")
