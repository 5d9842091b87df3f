"""It fits on every screen, names what can be used, and needs no mouse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
Visits = Callable[..., Any]
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNNAMED = """() => [...document.querySelectorAll('button, input, select, textarea, summary, svg, [role=region]')]
    .filter(node => node.checkVisibility()).filter(node => !(node.labels?.length || node.ariaLabel
        || (node.querySelector('title') ?? node).textContent.trim()))
    .map(node => node.outerHTML)"""
# Texts that stand out too little from what lies behind them (WCAG 2: a ratio of 4.5).
PALE = """() => {
    const read = text => text.match(/^rgba?\\((.*)\\)$/)?.[1].split(/[ ,/]+/).map(Number);
    const linear = share => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const over = (below, [r, g, b, a = 1]) => [r, g, b].map((v, i) => v * a + below[i] * (1 - a));
    const behind = node => {
        const layers = [];
        for (let each = node; each; each = each.parentElement)
            layers.unshift(read(getComputedStyle(each).backgroundColor));
        return layers.includes(undefined) ? null : layers.reduce(over, [255, 255, 255]);
    };
    const ratio = node => {
        const below = behind(node), ink = read(getComputedStyle(node).color);
        if (!below || !ink) return 21;
        const [less, more] = [light(below), light(ink)].sort((one, other) => one - other);
        return (more + 0.05) / (less + 0.05);
    };
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (walk.nextNode()) {
        const node = walk.currentNode.parentElement;
        if (!walk.currentNode.data.trim() || !node.checkVisibility()) continue;
        if (node.closest('svg, option, noscript, :disabled')) continue;
        if (ratio(node) < 4.5) found.push(`${ratio(node).toFixed(2)} ${walk.currentNode.data.slice(0, 40)}`);
    }
    return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_it_fits_and_is_quiet(visit: Visits, origin: str, theme: str, width: int) -> None:
    seen = visit(origin, viewport={"width": width, "height": 800}, color_scheme=theme)
    page = seen.page
    for kind, texts in (("label", ["a" * 90]), ("rating", ["film 3", "Very good."]), ("record", ["Bad."])):
        page.get_by_label("Run").select_option(kind)
        seen.predict(*texts)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate(OVERFLOW) == 0
        assert page.evaluate(UNNAMED) == []
        assert page.evaluate(PALE) == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (theme == "light")
    seen.check()


def test_with_the_keyboard_alone(visit: Visits, origin: str, tmp_path: Path) -> None:
    seen = visit(origin)
    page = seen.page
    board = page.keyboard

    def tab_to(test: str, most: int = 25) -> None:
        for _ in range(most):
            board.press("Tab")
            if page.evaluate(f"(node => {test})(document.activeElement)"):
                outline = "(node => getComputedStyle(node.type === 'file' ? node.parentElement : node).outlineStyle)"
                assert page.evaluate(f"{outline}(document.activeElement)") != "none"  # seen where one is
                return
        raise AssertionError(f"Never reached: {test}")

    board.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    board.press("Enter")
    tab_to("node.tagName === 'TEXTAREA'")
    board.type("The film was very good.")
    board.press("Control+Enter")
    page.wait_for_selector(".headline")
    tab_to("node.id === 'explain'")
    board.press("Enter")
    page.wait_for_selector(".words .word")
    tab_to("node.parentElement.id === 'call'")
    board.press("Space")
    assert page.locator("#curl").is_visible()
    tab_to("node.id === 'file'")
    path = tmp_path / "rows.csv"
    path.write_text("text\ngood\nbad\n")
    page.set_input_files(":focus", path)  # opening the system's dialog is the browser's own matter
    page.get_by_role("button", name="Predict 2 rows").wait_for()
    tab_to("node.textContent === 'Predict 2 rows'")
    board.press("Enter")
    page.get_by_role("button", name="Download the result").wait_for()
    with page.expect_download():
        board.press("Enter")
    seen.check()


def test_the_checks_can_fail(visit: Visits, origin: str) -> None:
    page = visit(origin, "label").page
    assert page.evaluate(PALE) == page.evaluate(UNNAMED) == []
    page.evaluate("document.querySelector('h2').style.color = '#999'")
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    page.evaluate("document.querySelector('main').style.minWidth = '2000px'")
    assert [found.split(" ", 1)[1] for found in page.evaluate(PALE)] == ["A text to try"]
    assert page.evaluate(UNNAMED) == ["<button></button>"]
    assert page.evaluate(OVERFLOW) > 0
