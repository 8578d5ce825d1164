"""The page in a browser: what is painted, how fast, by keyboard alone, and when things break."""

import re
import statistics
import time

import pytest
import torch

import directions
from directions import Direction, DirectionBank
from latdir.explorer.session import Session
from tests.latdir.explorer.conftest import running

pytest.importorskip("starlette", reason="the extra latdir[explore] is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

# Playwright's own loop and sockets are closed after the interpreter looks.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.xdist_group("browser"),
]
# Time from a key to the picture on the screen, with a frame drawn after it.
PRESSED = """([name, count]) => new Promise((done) => {
  const app = document.querySelector('.latdir-explorer');
  const slider = app.querySelector(`input[type=range][aria-label="${name}"]`);
  const canvas = app.querySelector('canvas');
  const times = [];
  const press = () => {
    const begun = performance.now();
    const before = canvas.dataset.painted;
    slider.value = Number(slider.value) + 0.05;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    const look = () => {
      if (canvas.dataset.painted === before) return requestAnimationFrame(look);
      times.push(performance.now() - begun);
      return times.length < count ? setTimeout(press, 30) : done(times);
    };
    requestAnimationFrame(look);
  };
  press();
})"""


@pytest.fixture(scope="module")
def port(faces, few_codes):
    first = Session(*faces)
    with running(lambda: Session(*faces, beside=first)) as made:
        yield made


@pytest.fixture
def visit(browser):
    """Open a page; errors of its script fail the test."""
    contexts, errors = [], []

    def go(port, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("canvas[data-painted]", timeout=20000)
        return page

    yield go
    for context in contexts:
        context.close()
    assert errors == []


def control(page, role, name):
    return page.locator(".latdir-explorer").get_by_role(role, name=name, exact=True)


def slider(page, name):
    return control(page, "slider", name)


def notice(page, text):
    playwright.expect(page.locator(".notice")).to_contain_text(text, timeout=20000)


def rested(page):
    """Wait until no picture has come for a while."""
    page.wait_for_function("""() => {
      const { painted } = document.querySelector('.latdir-explorer canvas').dataset;
      if (painted !== window.seen) [window.seen, window.since] = [painted, performance.now()];
      return performance.now() - window.since > 500;
    }""")


def copied(page):
    control(page, "button", "Code").click()
    return control(page, "textbox", "Code")


def test_nothing_is_fetched_from_outside(browser, port):
    context = browser.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("canvas[data-painted]")
    context.close()
    assert len(asked) >= 5
    local = re.compile(rf"(https?|ws)://127\.0\.0\.1:{port}/|data:|blob:")
    assert [url for url in asked if not local.match(url)] == []


def test_a_key_is_soon_a_picture_of_few_bytes(visit, port):
    page = visit(port)
    frames = []
    page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda data: frames.append(data))
    )
    page.reload()
    page.wait_for_selector("canvas[data-painted]")
    page.wait_for_timeout(500)
    frames.clear()
    times = page.evaluate(PRESSED, ["smiling", 30])
    pictures = [len(f) for f in frames if b'"verb":"picture"' in bytes(f)]
    assert len(pictures) >= 30
    assert max(pictures) <= 2048
    # A guard for busy machines; `benchmarks/explorer.py` measures on a quiet one.
    assert statistics.median(times) < 120


def test_two_hundred_moves_in_a_second_end_at_the_last(visit, port):
    page = visit(port)
    taken = page.evaluate("""() => new Promise((done) => {
      const slider = document.querySelector('.latdir-explorer [type=range][aria-label="yaw"]');
      let k = 0;
      const timer = setInterval(() => {
        slider.value = -3 + (++k) * 0.02;
        slider.dispatchEvent(new Event('input', { bubbles: true }));
        if (k === 200) { clearInterval(timer); done(performance.now()); }
      }, 5);
    })""")
    assert taken > 0
    code = copied(page)
    playwright.expect(code).to_have_value(re.compile(r"'yaw': 1\.0[,}]"), timeout=3000)


def test_copied_code_makes_the_image_on_the_page(visit, port, faces):
    bank, generator, _ = faces
    page = visit(port)
    slider(page, "smiling").press("ArrowRight")
    code = copied(page)
    playwright.expect(code).to_have_value(re.compile("smiling"))
    made = {"directions": directions, "generator": generator, "bank": bank}
    exec(code.input_value(), made)
    session = Session(*faces)
    session.handle({"verb": "edit", "amounts": {"smiling": 0.05}})
    shown = session.studio.images(session.studio.edited(session.state), session.state)
    assert torch.equal(made["image"], shown)


def test_a_whole_edit_and_an_export_by_keyboard_alone(visit, port):
    page = visit(port)

    def tab_to(name, most=60):
        for _ in range(most):
            page.keyboard.press("Tab")
            if (
                page.evaluate(
                    "document.activeElement.ariaLabel ?? document.activeElement.textContent"
                )
                == name
            ):
                return
        raise AssertionError(f"the tab key never comes to {name}")

    control(page, "button", "Keys").focus()
    tab_to("smiling")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    playwright.expect(slider(page, "smiling")).to_have_attribute("aria-valuetext", "0.5 sigma")
    page.keyboard.press("k")
    notice(page, "Kept on the shelf")
    page.keyboard.press("z")
    playwright.expect(slider(page, "smiling")).to_have_attribute("aria-valuetext", "0 sigma")
    page.keyboard.press("Shift+Z")
    playwright.expect(slider(page, "smiling")).to_have_attribute("aria-valuetext", "0.5 sigma")
    tab_to("Picture")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "digiface64-11.png"


def test_every_control_has_a_name(visit, port):
    page = visit(port)
    slider(page, "smiling").press("ArrowRight")
    page.keyboard.press("k")
    notice(page, "Kept on the shelf")
    devtools = page.context.new_cdp_session(page)
    document = devtools.send("DOM.getDocument")["root"]["nodeId"]
    place = {"nodeId": document, "selector": ".latdir-explorer"}
    app = devtools.send("DOM.querySelector", place)["nodeId"]
    tree = devtools.send("Accessibility.queryAXTree", {"nodeId": app})["nodes"]
    roles = (
        "button", "slider", "spinbutton", "searchbox", "textbox", "combobox", "checkbox", "img",
        "image",
    )  # fmt: skip
    controls = [n for n in tree if n.get("role", {}).get("value") in roles and not n.get("ignored")]
    assert len(controls) > 40
    assert [n["nodeId"] for n in controls if not n.get("name", {}).get("value", "").strip()] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_window(visit, port, scheme, width):
    page = visit(port, viewport={"width": width, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    color = page.evaluate(
        "getComputedStyle(document.querySelector('.latdir-explorer')).backgroundColor"
    )
    dark = sum(map(int, re.findall(r"\d+", color)[:3])) < 200
    assert dark == (scheme == "dark")
    assert page.locator("canvas").bounding_box()["width"] >= 200


def test_locks_move_other_thumbs(visit, port):
    page = visit(port)
    control(page, "button", "Lock mouth_open").first.click()
    for _ in range(30):
        slider(page, "smiling").press("ArrowRight")
    # At rest too: without it the smile opens this mouth.
    playwright.expect(slider(page, "mouth_open")).to_have_attribute(
        "aria-valuetext", re.compile(r"^-(0\.[3-9]\d*|1) sigma, held"), timeout=60000
    )
    lock = control(page, "button", "Lock mouth_open").first
    playwright.expect(lock).to_have_attribute("aria-pressed", "true")


def test_the_original_is_shown_while_b_is_held(visit, port):
    page = visit(port)
    for _ in range(20):
        slider(page, "yaw").press("ArrowRight")
    rested(page)
    pixels = "document.querySelector('.latdir-explorer canvas').toDataURL()"
    edited = page.evaluate(pixels)
    page.keyboard.down("b")
    page.wait_for_timeout(400)
    assert page.evaluate(pixels) != edited
    page.keyboard.up("b")
    assert page.evaluate(pixels) == edited


def test_a_picture_restores_its_state_and_another_file_is_a_sentence(visit, port, faces, tmp_path):
    session = Session(*faces)
    session.handle({"verb": "source", "seed": 5})
    session.handle({"verb": "edit", "amounts": {"age": 1.25}})
    (tmp_path / "kept.png").write_bytes(session.handle({"verb": "export", "what": "png"})[1])
    (tmp_path / "notes.txt").write_text("no picture")
    page = visit(port)
    page.locator(".latdir-explorer input[accept^=image]").set_input_files(tmp_path / "kept.png")
    notice(page, "Restored from the picture.")
    playwright.expect(slider(page, "age")).to_have_attribute("aria-valuetext", "1.25 sigma")
    playwright.expect(control(page, "spinbutton", "Seed")).to_have_value("5")
    page.locator(".latdir-explorer input[accept^=image]").set_input_files(tmp_path / "notes.txt")
    notice(page, "this file is not a picture that can be read: drop a PNG, JPEG or WebP file")
    playwright.expect(slider(page, "age")).to_have_attribute("aria-valuetext", "1.25 sigma")


def test_a_lost_connection_is_made_again_with_everything(visit, world, small_bank):
    def make():
        return Session(small_bank, world)

    with running(make) as port:
        page = visit(port)
        for _ in range(10):
            slider(page, "factor_1").press("ArrowRight")
        page.wait_for_timeout(500)
    playwright.expect(page.get_by_role("alert")).to_contain_text("The connection is lost")
    with running(make, port=port):
        playwright.expect(page.get_by_role("alert")).to_be_hidden(timeout=20000)
        playwright.expect(slider(page, "factor_1")).to_have_attribute("aria-valuetext", "0.5 sigma")
        slider(page, "factor_1").press("ArrowRight")
        page.wait_for_timeout(500)
        playwright.expect(slider(page, "factor_1")).to_have_attribute(
            "aria-valuetext", "0.55 sigma"
        )


def test_a_second_tab_of_one_session_takes_it_over_and_gives_it_back(visit, port):
    first = visit(port)
    slider(first, "age").press("ArrowRight")
    playwright.expect(slider(first, "age")).to_have_attribute("aria-valuetext", "0.05 sigma")
    # What a browser does where a tab is duplicated: it copies the session storage.
    with first.context.expect_page() as opened:
        first.evaluate("() => { window.open(location.href); }")
    second = opened.value
    playwright.expect(slider(second, "age")).to_have_attribute("aria-valuetext", "0.05 sigma")
    alert = first.get_by_role("alert")
    playwright.expect(alert).to_contain_text("This explorer was opened in another tab.")
    slider(second, "age").press("ArrowRight")
    playwright.expect(slider(second, "age")).to_have_attribute("aria-valuetext", "0.1 sigma")
    alert.get_by_role("button", name="Use it here").click()
    playwright.expect(slider(first, "age")).to_have_attribute("aria-valuetext", "0.1 sigma")
    playwright.expect(second.get_by_role("alert")).to_contain_text("another tab")


def test_a_failing_generator_is_a_sentence(visit):
    def net(codes):
        if float(codes[0, 0]) > 1e3:
            raise RuntimeError("out of\nmemory")
        return torch.tanh(codes[:, :3, None, None]).expand(-1, 3, 8, 8)

    generator = directions.wrap(net, latent_dim=4, name="mine", version="1")
    up = Direction.from_vector("up", [1.0, 0, 0, 0], space="z", sigma=1000.0)
    bank = DirectionBank.of(generator, [up])
    with running(lambda: Session(bank, generator)) as port:
        page = visit(port)
        for _ in range(60):
            slider(page, "up").press("ArrowRight")
        notice(page, "A model failed (RuntimeError: out of memory); the last picture is kept.")


@pytest.mark.slow
def test_a_hundred_thousand_directions(visit, world):
    vectors = torch.nn.functional.normalize(torch.randn(100_000, 8), dim=1)
    bank = DirectionBank.of(
        world, [Direction(f"d{k:06}", vector, "z") for k, vector in enumerate(vectors)]
    )
    with running(lambda: Session(bank, world)) as port:
        page = visit(port)
        playwright.expect(
            page.get_by_text("100,000 directions, of which 200 are listed")
        ).to_be_visible()
        page.get_by_role("searchbox").fill("d099999")
        playwright.expect(slider(page, "d099999")).to_be_visible()
        slider(page, "d099999").press("ArrowRight")
        begun = time.perf_counter()
        playwright.expect(slider(page, "d099999")).to_have_attribute("aria-valuetext", "0.05 sigma")
        assert time.perf_counter() - begun < 2
