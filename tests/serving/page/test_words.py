"""The words that decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Route


pytestmark = pytest.mark.browser
Visits = Callable[..., Any]


@pytest.mark.parametrize("kind", ["label", "rating", "tags"])
def test_the_words_that_decided(visit: Visits, origin: str, kind: str) -> None:
    seen = visit(origin, kind)
    row = ["film 3", "Very good it was."] if kind == "rating" else ["The film was very good."]
    seen.predict(*row)
    seen.page.get_by_role("button", name="Show the words").click()
    seen.page.wait_for_selector(".words .word")
    assert seen.page.evaluate("document.activeElement.id") == "words-title"
    texts = dict(zip(("review of", "text"), row, strict=True)) if kind == "rating" else {"text": row[0]}
    told = httpx.post(f"{origin}/v1/explain", json={"run": kind, "row": texts}, timeout=20).json()
    pieces = [each for each in told["pieces"] if each["text"].strip()]
    strength_of = "Number(each.style.getPropertyValue('--strength'))"
    read = f"all => all.map(each => [each.firstChild.data, {strength_of}, each.className])"
    shown = seen.page.locator(".words .word").evaluate_all(read)
    for piece, (text, strength, sides) in zip(pieces, shown, strict=True):
        assert text == piece["text"].strip()
        assert strength == pytest.approx(min(1.0, abs(piece["score"]) / told["score"]["scale"]), abs=2e-3)
        assert sides == ("word against" if piece["score"] < 0 and told["score"]["signed"] else "word for")
    seen.page.get_by_text("The strongest words").click()
    assert seen.page.locator("#words tbody tr").count() >= 3
    seen.check()


def test_words_for_and_against_differ_without_colour(visit: Visits, origin: str) -> None:
    seen = visit(origin, "label")
    scores = {"The": 0.01, "film": 2.0, "was": -0.1, "good.": -1.0}

    def strong(route: Route) -> None:
        told = route.fetch().json()
        told["pieces"] = [{"column": "text", "text": f" {word}", "score": score} for word, score in scores.items()]
        route.fulfill(json={**told, "score": {"name": "good", "unit": "nats", "signed": True, "scale": 2.0}})

    seen.page.route("**/v1/explain", strong)
    seen.predict("The film was good.")
    seen.page.get_by_role("button", name="Show the words").click()
    words = seen.page.locator(".words .word")
    words.first.wait_for()
    assert words.all_text_contents() == ["The", "film▲ (for)", "was", "good.▼ (against)"]
    seen.page.get_by_text("The strongest words").click()
    rows = seen.page.locator("#words tbody tr").all_inner_texts()
    assert [row.split() for row in rows[:2]] == [["film", "▲", "2"], ["good.", "▼", "−1"]]
    seen.check()
