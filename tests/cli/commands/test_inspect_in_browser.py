"""The page of `jaxrnn inspect` in a real browser."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import (
    DenseConfig,
    EmbeddingConfig,
    GRUConfig,
    LayerConfig,
    LSTMConfig,
    MinGRUConfig,
    ModelConfig,
)
from jaxrnn.data.vocabulary import build_vocabulary, encode
from jaxrnn.inspection import inspect, render
from jaxrnn.inspection.ablation import ablate
from jaxrnn.inspection.activity import observe
from jaxrnn.inspection.saliency import saliency
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from jaxrnn_cli import app
from tests.cli.conftest import write_files

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

HOSTILE = (
    "</script><script>document.title='hit'</script> &amp; <!-- <img src=x onerror=\"document.title='hit'\">\n"
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pages: of a play, and of a text with HTML."""
    folder = tmp_path_factory.mktemp("pages")
    write_files(folder)
    (folder / "hostile.txt").write_text(HOSTILE * 12, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert app.run(["pretrain", "tiny.toml", "--quiet", "--set", "model.layers.1.type=lstm"]) == 0
        assert app.run(["inspect", "--file", "text.txt", "--length", "600", "--output", "play.html"]) == 0
        train = ["pretrain", "tiny.toml", "--quiet", "--to", "hostile", "--set", "corpus.text=hostile.txt"]
        assert app.run(train) == 0
        assert (
            app.run(["inspect", "--from", "hostile", "--file", "hostile.txt", "--output", "hostile.html"])
            == 0
        )
    return folder


@pytest.fixture
def show(open_page: Callable[..., "Page"], pages: Path) -> Iterator[Callable[..., "Page"]]:
    """Open one of the pages; a network request fails the test."""
    asked: list[str] = []

    def show_(name: str | Path, **settings: Any) -> "Page":
        page = open_page(**settings)
        page.on("request", lambda r: asked.append(r.url) if r.url.startswith("http") else None)
        page.goto((pages / name).as_uri())
        page.wait_for_selector("body[data-ready=true]")
        return page

    yield show_
    assert asked == []


def write_page(
    path: Path, text: str, layer: LayerConfig, seq_len: int | None = None, scale: float = 0.0
) -> Path:
    """Write the page of a small untrained model."""
    config = ModelConfig(layers=(EmbeddingConfig(size=4), layer, DenseConfig()))
    vocabulary = build_vocabulary(text)
    params = stack.init(jax.random.key(0), config, vocabulary.size)
    params = (
        *params[:-1],
        params[-1]._replace(b=params[-1].b + scale * jnp.arange(vocabulary.size, dtype=jnp.float32)),
    )
    model = LanguageModel(config, params, vocabulary, "small")
    html, _ = render(model, inspect(model, text), {}, {"small": seq_len} if seq_len else {})
    path.write_text(html, encoding="utf-8")
    return path


def eventually(is_so: Callable[[], bool]) -> None:
    """Poll a condition of the page from outside, because the page's policy forbids `wait_for_function`."""
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def colours(page: "Page") -> list[str]:
    return page.eval_on_selector_all("#text span", "spans => spans.map(s => s.style.backgroundColor)")


def test_hovering_shows_the_predictions(show) -> None:
    page = show("play.html")
    page.locator("#text span").nth(40).hover()
    details = page.locator("#details")
    assert re.search(r"expected here.*came.*nats.*expected next", details.inner_text(), flags=re.DOTALL)
    shares = [
        float(share) for share in re.findall(r"([\d.]+) %\s*$", details.inner_text(), flags=re.MULTILINE)
    ]
    assert len(page.locator("#details .guess").all()) == 10
    assert 0 < sum(shares[:5]) <= 100.5
    before = details.inner_text()
    page.locator("#text span").nth(41).hover()
    assert details.inner_text() != before


def test_a_clicked_character_stays_selected(show) -> None:
    page = show("play.html")
    page.locator("#text span").nth(40).click()
    chosen = page.locator("#details").inner_text()
    page.locator("#text span").nth(90).hover()
    assert page.locator("#details").inner_text() == chosen


def test_arrow_keys_move_and_escape_clears_the_selection(show) -> None:
    page = show("play.html")
    page.locator("#text").focus()
    here = page.locator("#text .here")
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 599), ("Home", 0)):
        page.keyboard.press(key)
        assert here.get_attribute("data-t") == str(place)
    page.keyboard.press("ArrowDown")
    text = page.locator("#text").text_content()
    assert text[int(here.get_attribute("data-t")) - 1] == "\n"  # the same column of the next line, its start
    page.keyboard.press("Escape")
    page.locator("#text span").nth(90).hover()
    assert here.get_attribute("data-t") == "90"


def test_selecting_a_unit_recolors_the_text(show) -> None:
    page = show("play.html")
    surprisal = colours(page)
    page.locator("#view").select_option(label="cell (c) of layer 1: lstm")
    page.locator("#unit-label").wait_for()
    first = colours(page)
    page.locator("#unit").fill("3")
    page.locator("#unit").press("Enter")
    eventually(lambda: colours(page) != first)
    assert len({tuple(surprisal), tuple(first), tuple(colours(page))}) == 3
    page.locator("#text").focus()
    page.keyboard.press("]")
    eventually(lambda: page.locator("#unit").input_value() == "4")
    eventually(lambda: re.search(r"unit 4: -?\d\.\d\d\n", page.locator("#details").inner_text()) is not None)


def test_a_row_of_the_ranking_selects_its_unit(show) -> None:
    page = show("play.html")
    button = page.locator("#tracking button").first
    ((kind, unit),) = re.findall(r"^(\w), unit (\d+)", button.inner_text())
    button.click()
    eventually(lambda: page.locator("#unit").input_value() == unit)
    assert f"({kind})" in page.locator("#view option:checked").inner_text()


def test_a_pattern_finds_units_and_marks_its_matches(show) -> None:
    page = show("play.html")
    page.locator("#pattern").fill("ROMEO|JULIET")
    page.locator("#search button").click()
    page.wait_for_selector("#found:not([hidden])")
    text = page.locator("#text").text_content()
    marked = page.locator("#text .match").count()
    assert marked == 5 * text.count("ROMEO") + 6 * text.count("JULIET") > 0
    assert page.locator("#found tbody tr").count() == 8
    for pattern, answer in (("(", "Not a regular expression"), ("zzz", "nothing"), ("[^]", "everything")):
        page.locator("#pattern").fill(pattern)
        page.locator("#search button").click()
        page.locator("#found-note", has_text=answer).wait_for()
        assert page.locator("#found").is_hidden()


def test_html_in_a_text_is_text(show) -> None:
    page = show("hostile.html")
    assert page.title() == "Inside hostile"
    assert page.locator("#text").text_content() == HOSTILE * 12
    assert page.locator("#text img, #text script").count() == 0
    page.locator("#text span").nth(3).hover()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_character_is_readable_on_its_color(show, scheme: str) -> None:
    page = show("play.html", color_scheme=scheme)
    least = page.evaluate(
        """() => {
          const light = (css) => css.match(/\\d+/g).slice(0, 3).map(Number).map((v) => v / 255)
            .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          return Math.min(...[...document.querySelectorAll('#text span')].map((span) => {
            const [a, b] = [getComputedStyle(span).color, getComputedStyle(span).backgroundColor].map(light);
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          }));
        }"""
    )
    assert least >= 4.5  # WCAG 2, level AA
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") != scheme


@pytest.mark.parametrize("width", [390, 640, 790])
def test_the_details_never_cover_the_text(show, width: int) -> None:
    page = show("play.html", viewport={"width": width, "height": 450})
    page.locator("#text").scroll_into_view_if_needed()
    page.locator("#text").click(position={"x": 60, "y": 20})
    text, details = (page.locator(name).bounding_box() for name in ("#text", "#details"))
    assert text["y"] + text["height"] <= details["y"]
    assert text["height"] <= 450 / 2


@pytest.mark.parametrize(
    ("media", "kept"), [("print", "print-color-adjust"), ("forced", "forced-color-adjust")]
)
def test_colors_are_printed_and_kept_in_high_contrast(show, media: str, kept: str) -> None:
    page = show("play.html")
    before = page.locator("#text span").nth(5).evaluate("span => getComputedStyle(span).backgroundColor")
    page.emulate_media(**({"media": "print"} if media == "print" else {"forced_colors": "active"}))
    for name in (
        "#text span >> nth=5",
        "#legend i",
        ".guess b >> nth=0",
        "#tracking .bar b >> nth=0",
        "svg .curve >> nth=0",
    ):
        adjust = page.locator(name).first.evaluate(
            f"node => getComputedStyle(node).getPropertyValue('{kept}')"
        )
        assert adjust == ("exact" if media == "print" else "none"), name
    assert (
        page.locator("#text span").nth(5).evaluate("span => getComputedStyle(span).backgroundColor") == before
    )
    if media == "print":  # all of the text, not the part in its scrolled box
        page.set_viewport_size({"width": 700, "height": 900})
        assert page.locator("#text").evaluate("node => node.scrollHeight - node.clientHeight") <= 1


LEFT = "spans => spans.map(span => span.getBoundingClientRect().left)"


def test_a_dark_page_is_printed_in_light_colors(show) -> None:
    page = show("play.html", color_scheme="dark")
    dark = colours(page)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert "rgb(255, 255, 255)" in colours(page)
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert colours(page) == dark


ODD = "a\u202eb\ufe0f e\u0301\u00a0\u0634\u0644\n\u05d0\u05d1 x\u200d\u2028"


def test_invisible_and_combining_characters_are_shown_and_do_not_turn_the_page(show, tmp_path: Path) -> None:
    page = show(write_page(tmp_path / "odd.html", ODD, LSTMConfig(size=4)))
    labels = page.locator("#text .odd").all_inner_texts()
    assert labels == ["U+202E", "U+FE0F", "U+200D", "U+2028"]
    left = page.eval_on_selector_all(
        "#text span", "spans => spans.slice(0, 4).map(s => s.getBoundingClientRect().left)"
    )
    assert left == sorted(left) and len(set(left)) == 4  # from left to right, each with a width
    page.locator("#text").focus()
    names = set()
    for _ in range(ODD.index("\n") + 1):
        names |= set(page.locator("#details kbd").all_inner_texts())
        page.keyboard.press("ArrowRight")
    assert {"U+202E", "U+FE0F", "\u25cc\u0301", "U+00A0", "\u2423", "\u21b5"} <= names


def test_the_arrows_follow_the_direction_of_a_line(show, tmp_path: Path) -> None:
    page = show(write_page(tmp_path / "rtl.html", "ab\n\u05d0\u05d1\u05d2\n", LSTMConfig(size=4)))
    places = page.eval_on_selector_all(
        "#text span", "spans => spans.map(s => s.getBoundingClientRect().left)"
    )
    assert places[0] < places[1] and places[3] > places[4] > places[5]
    assert places[5] > places[1] + 100  # a line of Hebrew begins on the right
    page.locator("#text span").nth(4).click()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#text .here").get_attribute("data-t") == "5"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#text .here").get_attribute("data-t") == "3"


def test_a_probability_is_the_same_number_everywhere_and_never_zero(show, tmp_path: Path) -> None:
    page = show(write_page(tmp_path / "sure.html", "abcdef" * 3, LSTMConfig(size=4), scale=3.0))
    page.locator("#text").focus()
    for _ in range(17):
        page.keyboard.press("ArrowRight")
        details = page.locator("#details").inner_text()
        expected = details.split("came\n")[0] if "came\n" in details else details.split("CAME\n")[0]
        (came,) = re.findall(r"nats, (.*?), choice", details)
        orange = page.locator("#details .guess.came").first
        if orange.count() and orange.locator("xpath=following-sibling::h3").count() > 1:
            assert orange.locator("span").inner_text() == came, expected
        assert not re.search(r"(^|\s)0\.0+ %", details)
        assert "< 0.01 %" in details


@pytest.mark.parametrize(
    ("layer", "says"),
    [(LSTMConfig(size=4), "forget gate (f)"), (GRUConfig(size=4), "update gate (z) far to the right"),
     (MinGRUConfig(size=4), "minGRU writes")],
)  # fmt: skip
def test_the_page_explains_the_gates_of_its_layers(
    show, tmp_path: Path, layer: LayerConfig, says: str
) -> None:
    page = show(write_page(tmp_path / "gates.html", "to be or not", layer))
    assert says in page.locator("#lasting").inner_text()
    assert ("forget" in page.locator("main").inner_text()) == isinstance(layer, LSTMConfig)


def test_a_unit_is_remembered_and_the_colors_are_named(show) -> None:
    page = show("play.html")
    page.locator("#view").select_option(label="cell (c) of layer 1: lstm")
    page.locator("#unit").fill("3")
    page.locator("#unit").press("Enter")
    eventually(lambda: "unit 3" in page.locator("#details").inner_text())
    assert re.search(r"\(blue\)\s.*\(orange\)", page.locator("#legend").inner_text())
    page.locator("#view").select_option("surprisal")
    eventually(lambda: page.locator("#unit-label").is_hidden())
    page.locator("#view").select_option(label="hidden state (h) of layer 1: lstm")
    eventually(lambda: page.locator("#unit").input_value() == "3")
    assert "is orange" in page.locator("#help").inner_text()


# The page waits 2 s before it stops a search.
def test_search_is_by_line_and_a_slow_pattern_does_not_hang_the_page(show) -> None:
    page = show("play.html")
    page.locator("#pattern").fill("^[A-Z]+:$")
    page.locator("#pattern").press("Enter")
    page.wait_for_selector("#found:not([hidden])")
    assert page.locator("#text .match").count() > 50
    page.locator("#pattern").fill("((a|[a-z ])+)+0")
    page.locator("#pattern").press("Enter")
    page.locator("#title").click(timeout=1000)  # the page still answers
    page.locator("#found-note", has_text="takes too long").wait_for()


def test_coarse_and_missing_units_are_marked(show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ROMEO:\nlight, 12.\n\n" * 20
    path = write_page(tmp_path / "whole.html", text, LSTMConfig(size=64))
    monkeypatch.setattr("jaxrnn.inspection.page._LARGEST", len(path.read_text()) - 20_000)
    page = show(write_page(path, text, LSTMConfig(size=64)))
    option = page.locator("#view option", has_text="forget gate").first
    assert option.inner_text().endswith("ranked units only")
    ranked = {int(unit) for unit in re.findall(r"unit (\d+)", page.locator("#tracking").inner_text())}
    page.locator("#view").select_option(label=option.inner_text())
    eventually(
        lambda: page.locator("#unit").is_visible() and int(page.locator("#unit").input_value()) in ranked
    )
    page.locator("#unit").fill(str(min(set(range(64)) - ranked)))
    page.locator("#unit").press("Enter")
    page.locator("#legend", has_text="left out").wait_for()
    assert "left out" in page.locator("#details").inner_text()
    page.locator("#view").select_option(label="cell (c) of layer 1: lstm")
    page.locator("#legend", has_text="shades").wait_for()
    page.locator("#pattern").fill("light")
    page.locator("#pattern").press("Enter")
    page.locator("#found-note", has_text="The order is approximate").wait_for()
    page.locator("#tracking button").first.click()
    eventually(lambda: "shades" not in page.locator("#legend").inner_text())


@pytest.mark.parametrize(("seq_len", "lines"), [(8, 1), (80, 0), (None, 0)])
def test_seq_len_is_a_line_in_the_look_back(show, tmp_path: Path, seq_len: int | None, lines: int) -> None:
    path = write_page(tmp_path / "page.html", "to be or not to be\n" * 4, LSTMConfig(size=4), seq_len=seq_len)
    page = show(path)
    assert page.locator("#look-back > svg .seq-len").count() == lines
    assert (f"seq_len = {seq_len}" in page.locator("#look-back").inner_text()) == (seq_len is not None)


def test_each_score_has_a_baseline(show) -> None:
    page = show("play.html")
    assert page.locator("#tracking th").all_inner_texts()[:4] == ["what", "unit", "score", "untrained"]
    for row in page.locator("#tracking tbody tr").all():
        score, baseline = (float(row.locator("td").nth(column).inner_text()) for column in (2, 3))
        assert 0 <= score <= 1 and 0 < baseline <= 1
    assert "need not be used" in page.locator("main").inner_text()


def test_the_units_that_predictions_use_are_listed_with_their_cost(show, tmp_path: Path) -> None:
    text = "to be or not to be\n" * 5
    config = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=12), DenseConfig()))
    vocabulary = build_vocabulary(text)
    ids, params = encode(vocabulary, text), stack.init(jax.random.key(0), config, vocabulary.size)
    (found,) = ablate(config, params, ids, observe(config, params, ids).tracks)
    page = show(write_page(tmp_path / "page.html", text, LSTMConfig(size=12)))
    shown = [
        (int(unit), float(cost.replace("\u2212", "-")))
        for unit, cost in re.findall(
            r"unit (\d+), layer 1: lstm\s+(\S+)", page.locator("#ablation").inner_text()
        )
    ]
    order = np.argsort(-found.costs)[:10].tolist()
    assert [unit for unit, _ in shown] == order
    np.testing.assert_allclose([cost for _, cost in shown], found.costs[order], atol=1e-4)
    for row in page.locator("#tracking tbody tr").all():
        _, unit, _, _, cost = (row.locator("td").nth(column).inner_text() for column in range(5))
        number = int(re.findall(r"unit (\d+)", unit)[0])
        assert float(cost.replace("\u2212", "-")) == pytest.approx(found.costs[number], abs=1e-4)
    page.locator("#ablation button").first.click()
    eventually(lambda: page.locator("#unit").input_value() == str(order[0]))


def test_the_text_is_colored_by_the_difference_to_another_run(show, tmp_path: Path) -> None:
    text = "to be or not to be\n" * 4
    config = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=4), DenseConfig()))
    vocabulary = build_vocabulary(text)
    here, other = (
        LanguageModel(config, stack.init(jax.random.key(seed), config, vocabulary.size), vocabulary, name)
        for seed, name in enumerate(("here", "other"))
    )
    inspection = inspect(here, text, [other])
    path = tmp_path / "page.html"
    path.write_text(render(here, inspection, {})[0], encoding="utf-8")
    page = show(path)
    difference = inspection.compared["other"][1:] - inspection.activity.nll
    assert difference.min() < -0.1 < 0.1 < difference.max()
    page.locator("#view").select_option("difference 0")
    eventually(lambda: "other is than here" in page.locator("#what").inner_text())
    assert page.locator("#view").input_value() == "difference 0"
    for t in (int(difference.argmin()) + 1, int(difference.argmax()) + 1):
        span = page.locator(f"#text [data-t='{t}']")
        color = span.evaluate("(span) => getComputedStyle(span).backgroundColor")
        red, _, blue = map(int, re.findall(r"\d+", color))
        assert (red > blue) == (difference[t - 1] > 0)
        span.click()
        nats = inspection.compared["other"][t]
        assert f"other: {nats:.2f} nats" in page.locator("#details").inner_text()
    page.locator("#view").select_option("surprisal 0")
    eventually(lambda: "The surprisal of each character to other" in page.locator("#what").inner_text())


def test_saliency_colors_what_the_selected_character_depends_on(show, tmp_path: Path) -> None:
    text, target = "to be or not to be\n" * 5, 70
    path = write_page(tmp_path / "page.html", text, LSTMConfig(size=4))
    config = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=4), DenseConfig()))
    vocabulary = build_vocabulary(text)
    params = stack.init(jax.random.key(0), config, vocabulary.size)
    contributions = saliency(config, params, encode(vocabulary, text))[target]
    page = show(path)
    page.locator("#view").select_option("saliency")
    page.locator("#what", has_text="gradient times input").wait_for()
    page.locator("#text span").nth(target).click()
    rows = page.locator("#details .strongest li").all_inner_texts()
    order = np.argsort(-np.abs(contributions))
    found_back = [int(re.findall(r"(\d+) back", row)[0]) for row in rows]
    assert len(rows) == 5 and found_back[0] == order[0] + 1
    half = 0.005 + float(abs(contributions).max()) / 14  # of a shade, and of a digit
    for row, back in zip(rows, found_back, strict=True):
        (nats,) = re.findall(r"([\u2212+][\d.]+) nats", row)
        assert float(nats.replace("\u2212", "-")) == pytest.approx(float(contributions[back - 1]), abs=half)
    assert re.search(rf"{abs(contributions).max():.3g} nats \(orange\)", page.locator("#legend").inner_text())
    white, found = "rgb(255, 255, 255)", colours(page)
    nearest = target - 1 - int(order[0])
    red, _, blue = map(int, re.findall(r"\d+", found[nearest]))
    assert (red > blue) == (contributions[order[0]] > 0)
    assert set(found[target:]) == set(found[: target - 50]) == {white}
    page.keyboard.press("Home")
    assert set(colours(page)) == {white}
    assert "Nothing comes before it" in page.locator("#details").inner_text()


def test_the_page_fits_a_phone_screen(show) -> None:
    page = show("play.html", viewport={"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    option = page.locator("#view option").last
    option.evaluate("option => option.append(', ranked units only'.repeat(2))")
    page.locator("#view").select_option(index=2)
    eventually(lambda: page.locator("#unit-label").is_visible())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#view").select_option("saliency")
    page.locator("#text span").nth(90).click()
    page.locator("#legend", has_text="shades").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_accessible(show, check_accessibility, scheme: str, width: int) -> None:
    page = show("play.html", color_scheme=scheme, bypass_csp=True, viewport={"width": width, "height": 800})
    for view in ("surprisal", "saliency", "1"):
        page.locator("#view").select_option(view)
        page.locator("#text span").nth(90).click()
        page.locator("#unit-label").wait_for(state="visible" if view == "1" else "hidden")
        check_accessibility(page)
