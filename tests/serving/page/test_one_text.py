"""One text and its answer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from predgen.serving.app import create_app
from predgen.serving.settings import Settings

pytestmark = pytest.mark.browser
Visits = Callable[..., Any]
KEY = "a-key-of-twenty-five-signs"


def test_a_text_is_answered_with_bars(visit: Visits, origin: str) -> None:
    seen = visit(origin, "label")
    seen.predict("The film was very good.")
    answer = seen.answer("label", {"text": "The film was very good."})
    assert seen.page.locator(".headline bdi").inner_text() == answer["prediction"]
    bars = seen.page.get_by_role("list", name="Probability of each label").locator("li")
    shares = bars.evaluate_all(
        "all => all.map(each => Number(each.querySelector('.bar').style.getPropertyValue('--share')))"
    )
    names = [bar.locator("bdi").inner_text() for bar in bars.all()]
    assert dict(zip(names, shares, strict=True)) == pytest.approx(answer["probabilities"], abs=1e-4)
    assert shares == sorted(shares, reverse=True)
    assert seen.page.locator("#said").inner_text().startswith(f"Answer: {answer['prediction']}, ")
    assert "Answered in" in seen.page.locator(".took").inner_text()
    seen.check()


def test_a_number_has_its_distribution_and_its_interval(visit: Visits, origin: str) -> None:
    seen = visit(origin, "rating")
    seen.predict("film 3", "Very good.")
    answer = seen.answer("rating", {"review of": "film 3", "text": "Very good."})
    low, high = (f"{value:.1f}".replace("-", "−") for value in answer["interval"])
    assert seen.page.locator(".headline .share").inner_text() == f"{low} to {high}"
    chart = seen.page.get_by_role("img")
    assert chart.locator("title").first.text_content().startswith("Distribution from")  # type: ignore[union-attr]
    assert chart.locator("rect").count() > 5 and chart.locator(".whisker").count() == 3
    tallest = "all => Math.max(...all.map(each => each.height.baseVal.value))"
    assert chart.locator("rect").evaluate_all(tallest) > 50
    seen.check()


@pytest.mark.parametrize(("kind", "wanted"), [("record", 2), ("tags", 1), ("free", 1)])
def test_every_kind_of_answer_is_shown(visit: Visits, origin: str, kind: str, wanted: int) -> None:
    seen = visit(origin, kind)
    seen.predict("The film was bad.")
    assert seen.page.locator("#answer .headline").count() == wanted
    seen.check()


def test_earlier_answers_can_be_asked_again(visit: Visits, origin: str) -> None:
    seen = visit(origin, "label")
    for text in ("One good film", "Two bad films", "One good film", "Three"):
        seen.predict(text)
    kept = seen.page.locator("#earlier button .text")
    assert kept.all_inner_texts() == ["One good film", "Two bad films"]
    with seen.page.expect_response("**/v1/predict"):
        kept.nth(1).click()
    assert seen.page.get_by_label("text", exact=True).input_value() == "Two bad films"
    seen.page.locator("#earlier .text").first.filter(has_text="Three").wait_for()
    seen.check()


def test_the_request_as_a_command(visit: Visits, origin: str) -> None:
    seen = visit(origin, "rating", permissions=["clipboard-read", "clipboard-write"])
    row = {"review of": 'it\'s "3" $HOME `ls` \\', "text": "Line one\nand two: 100% good, naïve 👍"}
    seen.predict(row["review of"], row["text"])
    seen.page.get_by_text("The same from a terminal").click()
    seen.page.get_by_role("button", name="Copy").click()
    # Not wait_for_function: from its second look on it evaluates a string, which the page's policy forbids.
    seen.page.locator("#copied:not(:empty)").wait_for()
    copied = seen.page.evaluate("navigator.clipboard.readText()")
    words = shlex.split(copied)
    assert words[:3] == ["curl", "-sS", f"{origin}/v1/predict"]
    body = json.loads(words[words.index("--data-raw") + 1])
    assert body == {"run": "rating", "rows": [row], "distribution": True}
    assert words[words.index("-H") + 1] == "Content-Type: application/json"
    seen.check()


def test_what_cannot_be_asked_is_said_at_its_field(visit: Visits, origin: str) -> None:
    seen = visit(origin, "rating")
    page = seen.page
    page.get_by_role("button", name="Predict", exact=True).click()
    assert page.locator("#problem-0").inner_text() == "Type a text first."
    area = page.get_by_label("text", exact=True)
    area.fill("👍" * 301)
    page.get_by_role("button", name="Predict", exact=True).click()
    assert page.locator("#problem-1").inner_text() == "301 characters; the service takes up to 300."
    assert area.get_attribute("aria-invalid") == "true"
    assert page.evaluate("document.activeElement.id") == "field-1"
    area.fill("👍" * 300)
    assert page.locator("#problem-1").inner_text() == "" and area.get_attribute("aria-invalid") is None
    assert not any("predict" in url for url in seen.asked)
    seen.check()


def test_a_service_that_goes_away_is_told_of(visit: Visits, origin: str) -> None:
    seen = visit(origin, "label")
    seen.page.route("**/v1/predict", lambda route: route.abort())
    seen.page.get_by_label("text", exact=True).fill("good")
    seen.page.get_by_role("button", name="Predict", exact=True).click()
    seen.page.get_by_text("The service does not answer. Is it still running?").wait_for()


def test_a_key_is_asked_for_and_kept_out_of_the_command(
    visit: Visits, runs: Callable[[Sequence[str]], Any], listening: Callable[..., Any]
) -> None:
    with listening(create_app(runs(["label"]), Settings(max_batch=8, keys=(KEY,)))) as origin:
        seen = visit(origin)
        page = seen.page
        assert page.get_by_label("Run").count() == 0 or not page.get_by_label("Run").is_visible()
        page.get_by_label("text", exact=True).fill("good")
        page.get_by_role("button", name="Predict", exact=True).click()
        page.locator("#alert .notice").wait_for()
        assert page.evaluate("document.activeElement.id") == "key"
        page.get_by_label("API key").fill("clé 👍")
        page.get_by_role("button", name="Predict", exact=True).click()
        page.get_by_text("no letters beyond ASCII").wait_for()
        page.get_by_label("API key").fill(KEY)
        seen.predict("good")
        assert page.locator("#alert .notice").count() == 0
        assert '-H "Authorization: Bearer $PREDGEN_KEY"' in (page.locator("#curl").text_content() or "")
        assert KEY not in page.content()
        assert (
            page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == '[{},{},""]'
        )
