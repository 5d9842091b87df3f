"""The page in a real browser: nothing is asked of the network, nothing complains, and it fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from predgen.loading import load
from predgen.report.material import Wanted
from predgen.report.write import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OUTSIDE = """() => [...document.querySelectorAll('main p, main dl, main figure, main .scroll, main .case, .tiles li')]
    .filter(node => node.getBoundingClientRect().right > innerWidth + 0.5).map(node => node.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module", params=["label", "record"])
def page_file(request: pytest.FixtureRequest, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of one answer, and of several."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    folder = shop / request.param
    wanted = Wanted(slices=("lang",), maps=2, resamples=100)
    write_report(folder, lambda: load(folder), path, wanted, "predgen report", lambda line: None)
    return path


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_and_is_quiet(browser: Browser, page_file: Path, theme: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
    said, asked = list[str](), list[str]()
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert page.evaluate(OVERFLOW) == 0
    assert page.evaluate(OUTSIDE) == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (theme == "light")
    page.close()


def test_every_link_leads_somewhere_and_charts_have_names(browser: Browser, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    broken = "[...document.querySelectorAll('a')].filter(a => !document.getElementById(a.hash.slice(1))).length"
    assert page.locator("nav a").count() > 10 and page.evaluate(broken) == 0
    charts = page.get_by_role("img")
    assert charts.count() == page.locator("svg").count() > 5
    assert page.evaluate("[...document.querySelectorAll('svg')].every(s => s.querySelector('title').textContent)")
    page.close()


def test_on_paper_it_is_light_and_whole(browser: Browser, page_file: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(page_file.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.locator("section > details").last.is_visible() and page.locator("details pre").last.is_visible()
    assert not page.locator("figure details").first.is_visible()
    assert len(page.pdf()) > 20_000
    page.close()
