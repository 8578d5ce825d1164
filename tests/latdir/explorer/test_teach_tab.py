"""The second tab in a browser: answers by mouse and by keyboard, and a new slider."""

import json

import pytest

from discovery import Teach
from latdir.explorer.session import Session
from tests.latdir.explorer.conftest import running
from tests.latdir.explorer.test_page import playwright, visit  # noqa: F401

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.xdist_group("browser"),
]
LOOKED = 20000


@pytest.fixture(scope="module")
def port(world, small_bank):
    teach = Teach(features="pixels", n_codes=256)
    with running(lambda: Session(small_bank, world, teach=teach)) as made:
        yield made


def expect(found):
    return playwright.expect(found)


def begun(visit, port, name="hat", **options):  # noqa: F811
    page = visit(port, **options)
    page.get_by_role("tab", name="Teach").press("Enter")
    expect(page.get_by_role("textbox", name="Attribute to teach")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    expect(page.locator("button.tile")).to_have_count(64)
    return page


def known(page):
    return page.get_by_role("region", name="What is known")


def test_a_lesson_by_keyboard_alone_ends_in_a_slider(visit, port):  # noqa: F811
    page = begun(visit, port)
    expect(known(page)).to_contain_text("Nothing is known yet")
    page.get_by_role("button", name="Image 1", exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    pressed = page.locator("button.tile[aria-pressed=true]")
    assert pressed.evaluate_all("all => all.map((t) => t.ariaLabel)") == ["Image 1", "Image 10"]
    expect(page.get_by_role("button", name="Done: 2 of 64")).to_be_visible()
    expect(page.get_by_text("Looking at images")).to_be_hidden(timeout=LOOKED)
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="Upper row, image 1")).to_be_visible()
    expect(known(page)).to_contain_text("2 clicks: 0 strips, 1 sheet")
    for key in "51432":
        before = known(page).locator(".counts").text_content()
        page.keyboard.press(key)
        expect(known(page).locator(".counts")).not_to_have_text(before)
    expect(known(page)).to_contain_text("7 clicks: 5 strips, 1 sheet")
    expect(known(page)).to_contain_text("from the direction that unlimited answers would give")
    page.keyboard.press("z")
    expect(known(page)).to_contain_text("6 clicks: 4 strips, 1 sheet")
    page.get_by_role("button", name="Add to the bank").press("Enter")
    expect(page.locator(".notice")).to_contain_text("hat is a slider of the bank now")
    page.get_by_role("tab", name="Teach").press("ArrowLeft")
    slider = page.get_by_role("slider", name="hat", exact=True)
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "0.05 sigma")


def test_answers_are_saved_and_opened_again_and_a_check_is_counted(visit, port, tmp_path):  # noqa: F811
    page = begun(visit, port)
    expect(page.get_by_text("Looking at images")).to_be_hidden(timeout=LOOKED)
    page.get_by_role("button", name="Image 3", exact=True).click()
    page.get_by_role("button", name="Done: 1 of 64").click()
    page.get_by_role("button", name="much more", exact=True).click()
    expect(known(page)).to_contain_text("2 clicks: 1 strip, 1 sheet")
    with page.expect_download() as download:
        page.get_by_role("button", name="Answers", exact=True).click()
    download.value.save_as(tmp_path / "hat.json")
    assert len(json.loads((tmp_path / "hat.json").read_text())["given"]) == 2
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("button.tile")).to_have_count(12)
    page.get_by_role("button", name="Image 5", exact=True).click()
    page.get_by_role("button", name="1 wrong of 12").click()
    expect(known(page)).to_contain_text("checked: 11 of 12 have it")
    page.get_by_label("File of answers").set_input_files(tmp_path / "hat.json")
    expect(known(page)).to_contain_text("2 clicks: 1 strip, 1 sheet")
    (tmp_path / "other.json").write_text("no answers")
    page.get_by_label("File of answers").set_input_files(tmp_path / "other.json")
    expect(page.locator(".notice")).to_contain_text("the file holds no answers: it is not JSON")
    page.reload()
    page.get_by_role("tab", name="Teach").click()
    expect(known(page)).to_contain_text("2 clicks: 1 strip, 1 sheet")


def test_a_server_that_is_gone_and_a_closed_tab_lose_no_answer(visit, world, small_bank, tmp_path):  # noqa: F811
    teach = Teach(features="pixels", n_codes=256)

    def make():
        return Session(small_bank, world, teach=teach, answers=tmp_path)

    with running(make) as port:
        page = begun(visit, port)
        page.get_by_role("button", name="Image 3", exact=True).click()
        page.get_by_role("button", name="Done: 1 of 64").click()
        expect(known(page)).to_contain_text("1 click: 0 strips, 1 sheet")
    expect(page.get_by_role("alert")).to_contain_text("The connection is lost")
    with running(make, port=port):
        expect(page.get_by_role("alert")).to_be_hidden(timeout=20000)
        expect(page.locator(".notice")).to_contain_text("Going on with answers of")
        expect(known(page)).to_contain_text("1 click: 0 strips, 1 sheet")
        page.close()
        page = visit(port)
        page.get_by_role("tab", name="Teach").click()
        page.get_by_role("group", name="Lessons to go on with").get_by_text("hat").click()
        expect(known(page)).to_contain_text("1 click: 0 strips, 1 sheet")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_every_control_has_a_name(visit, port, scheme):  # noqa: F811
    page = begun(visit, port, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "tab", "tabpanel", "textbox", "meter", "img", "image", "group", "region")
    controls = [
        node
        for node in tree
        if node.get("role", {}).get("value") in roles and not node.get("ignored")
    ]
    assert len(controls) > 70
    assert [n for n in controls if not n.get("name", {}).get("value", "").strip()] == []
