import base64
import io
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from analysis import effects_of, measure_curves, random_null, write_report
from analysis.plots.parts import canvas
from analysis.plots.theme import LIGHT, dress
from analysis.report.inline import data_url, inline_svg, mosaic
from directions import Calibration, LatdirError
from directions.planted.world import planted
from tests.analysis.measured import true_bank

VOID = {"meta", "img", "br", "wbr", "link", "path", "use", "rect", "image"}
HOSTILE = '<script>alert("x")</script>'


class Page(HTMLParser):
    """A page's elements, its visible text, and whether its tags close."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open, self.stray = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag not in VOID:
            self.stray.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag):
        return [a for t, a in self.elements if t == tag]

    @property
    def words(self):
        return re.sub(r"\s+", " ", "".join(self.text))


@pytest.fixture(scope="module")
def measured():
    generator = planted(factors=3, dim=24, cosine=0.6, names=["smiling", "age", "yaw"])
    classifier = generator.classifier(kind="probability")
    bank = true_bank(generator)
    first = bank.directions[0].evolve(
        evidence={"auc": 0.934, HOSTILE: [HOSTILE] * 20}, config={"C": 1.0}
    )
    hostile = bank["yaw"].evolve(name=HOSTILE)
    bank = type(bank)(
        (
            first,
            bank.directions[1].evolve(calibration=Calibration("age", "years", 4, -2, 2)),
            hostile,
        ),
        bank.generator,
        bank.fingerprint,
        {"seed": 3, "note": HOSTILE},
    )
    curves = measure_curves(
        generator,
        classifier,
        bank,
        count=20,
        embed=lambda images: images.flatten(1),
    ).aimed({HOSTILE: "yaw"})
    effects = effects_of(curves)
    return generator, bank, effects, random_null(generator, classifier, effects, count=4)


@pytest.fixture(scope="module")
def page(measured, tmp_path_factory):
    generator, bank, effects, null = measured
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(path, bank=bank, effects=effects, generator=generator, null=null) == path
    return path.read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page):
    read = Page(page)
    assert read.open == []
    assert read.stray == []
    ids = [a["id"] for _, a in read.elements if "id" in a]
    assert [i for i, times in Counter(ids).items() if times > 1] == []
    inside = [a["href"][1:] for a in read.all("a")] + re.findall(r"url\(#([^)]+)\)", page)
    assert set(inside) <= set(ids)
    assert len(inside) > 10
    for _, attributes in read.elements:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids


def test_the_page_fetches_nothing_and_runs_nothing(page):
    read = Page(page)
    assert not {t for t, _ in read.elements} & {"script", "link", "iframe", "object"}
    for _, attributes in read.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("data:", "#"))
    assert re.findall(r"url\((?!#)", page) == []
    policy = next(a for a in read.all("meta") if a.get("http-equiv"))
    assert policy["content"].startswith("default-src 'none'")


def test_whatever_a_bank_says_is_escaped(page):
    assert HOSTILE not in page
    read = Page(page)
    assert read.words.count(HOSTILE) > 5
    assert "script" not in {t for t, _ in read.elements}


def test_every_picture_has_words_for_those_who_do_not_see_it(page):
    read = Page(page)
    strips = read.all("img")
    assert len(strips) == 3
    assert strips[0]["alt"] == (
        "4 images, one per row, moved along smiling from −3 to +3 sigma, one amount per column; "
        "column 4 holds the originals."
    )
    drawings = [a for a in read.all("svg") if a.get("role") == "img"]
    assert len(drawings) == 3 * 2 + 2
    assert all(len(a["aria-label"]) > 20 for a in drawings)
    assert read.all("html")[0]["lang"] == "en"


def test_a_sigma_is_told_in_the_unit_of_the_attribute_first(page):
    assert "one sigma is +4 years, 1 in latent units" in page
    assert "one sigma is 1 in latent units" in page


def test_strips_show_the_edits(measured, page):
    generator, bank, effects, _ = measured
    url = Page(page).all("img")[0]["src"]
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert picture.size == (7 * 16, 4 * 16)
    codes = generator.sample(4, seed=effects.source.seed)
    moved = generator.synthesize(bank["smiling"].shift(codes[1:2], 3.0))[0]
    shown = torch.from_numpy(np.array(picture.crop((96, 16, 112, 32)))).float()
    expected = ((moved + 1) * 127.5).permute(1, 2, 0)
    assert (shown - expected).abs().mean() < 3


def test_the_page_says_what_was_measured_and_with_what(measured, page):
    generator, _, effects, _ = measured
    words = Page(page).words
    assert generator.fingerprint in words
    assert effects.source.classifier_fingerprint in words
    assert f"20, seed {effects.source.seed}, ψ 1" in words
    assert "beside 4 random ones" in words
    assert "auc" in words
    assert "0.934" in words
    assert "(20 in all)" in words
    for section in ("Summary", "Warnings and notes", "Comparison at equal effect"):
        assert section in words
    shown = f"{effects.logit.standardized[0, 0]:+.2f}"
    assert shown in words
    assert "condition on" in words


def test_equal_measurements_give_equal_bytes(measured, tmp_path):
    generator, bank, _, _ = measured
    one = bank.select(["age"])
    effects = effects_of(
        measure_curves(generator, generator.classifier(), one, amounts=(1.0, 2.0), count=8)
    )
    texts = [
        write_report(tmp_path / name, bank=one, effects=effects, generator=generator).read_text()
        for name in ("a.html", "b.html")
    ]
    assert texts[0] == texts[1]


def test_a_small_measurement_makes_a_small_page(measured, tmp_path):
    _, bank, effects, _ = measured
    curves = effects.curves
    keep = [curves.zero, curves.at(2.0)]
    small = effects_of(
        type(curves)(
            curves.directions,
            curves.attributes,
            curves.amounts[keep],
            curves.scores[:, keep],
            curves.spaces,
            curves.source,
            curves.targets,
        )
    )
    path = write_report(tmp_path / "small.html", bank=bank, effects=small, title="Mine & yours")
    read = Page(path.read_text(encoding="utf-8"))
    assert "Mine & yours" in read.words
    assert read.all("img") == []
    assert len([a for a in read.all("svg") if a.get("role") == "img"]) == 3
    assert "No null was measured" in read.words
    assert "Directions are compared at equal effect" not in read.words
    assert read.open == []


def test_refusals(measured, tmp_path):
    generator, bank, effects, _ = measured
    path = tmp_path / "no.html"
    with pytest.raises(
        LatdirError, match=r"the effects are of smiling, age, .* the bank holds age"
    ):
        write_report(path, bank=bank.select(["age"]), effects=effects)
    other = planted(seed=9)
    foreign = type(bank)(bank.directions, "other", other.fingerprint)
    with pytest.raises(LatdirError, match=r"the effects were measured on planted .* belongs to"):
        write_report(path, bank=foreign, effects=effects)
    with pytest.raises(LatdirError, match="this bank was made for planted"):
        write_report(path, bank=bank, effects=effects, generator=other)
    with pytest.raises(LatdirError, match="strips of 0 samples show nothing"):
        write_report(path, bank=bank, effects=effects, generator=generator, samples=0)
    with pytest.raises(LatdirError, match="cannot write"):
        write_report(tmp_path / "missing" / "r.html", bank=bank, effects=effects)
    assert not path.exists()


def test_figures_take_the_page_s_colors_and_keep_their_identifiers_apart():
    figure, axes = canvas(None, 2.0, 2.0, LIGHT)
    axes.plot([0, 1], [0, 1], color=LIGHT.series[0])
    dress(axes, LIGHT, title="a < b")
    one = inline_svg(figure, label='say "so" & <more>', prefix="one")
    two = inline_svg(figure, label="x", prefix="two")
    assert "var(--series-0)" in one
    assert LIGHT.series[0].lower() not in one.lower()
    assert 'aria-label="say &quot;so&quot; &amp; &lt;more&gt;"' in one
    ids = [set(re.findall(r'id="([^"]+)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'href="#([^"]+)"', one)) <= ids[0]


def test_a_mosaic_puts_rows_below_and_columns_beside():
    images = torch.arange(6.0).reshape(2, 3, 1, 1, 1).expand(2, 3, 3, 4, 5) / 10
    tiles = mosaic(images)
    assert tiles.shape == (3, 8, 15)
    expected = torch.tensor([[0, 0.1, 0.2], [0.3, 0.4, 0.5]])
    torch.testing.assert_close(tiles[0, ::4, ::5], expected)
    assert mosaic(torch.zeros(1, 2, 3, 64, 128), tile=32).shape == (3, 32, 128)
    assert data_url(tiles).startswith("data:image/jpeg;base64,")
