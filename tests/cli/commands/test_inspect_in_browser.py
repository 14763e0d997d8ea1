"""The page of `jaxrnn inspect` in a real browser."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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

    def show_(name: str, **settings: Any) -> "Page":
        page = open_page(**settings)
        page.on("request", lambda r: asked.append(r.url) if r.url.startswith("http") else None)
        page.goto((pages / name).as_uri())
        page.wait_for_selector("body[data-ready=true]")
        return page

    yield show_
    assert asked == []


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


def test_the_page_fits_a_phone_screen(show) -> None:
    page = show("play.html", viewport={"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
