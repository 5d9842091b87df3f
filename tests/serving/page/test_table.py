"""A whole table: sent in parts, stopped, gone on with, downloaded."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Route


pytestmark = pytest.mark.browser
Visits = Callable[..., Any]
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> & \u202eevil\u202c \"'`${1}` {{x}} very good"


def table(rows: Sequence[Sequence[str]], end: str = "\r\n") -> str:
    """Rows as CSV."""
    made = io.StringIO()
    csv.writer(made, lineterminator=end).writerows(rows)
    return made.getvalue()


def test_a_table_is_predicted_and_downloaded(visit: Visits, origin: str, tmp_path: Path) -> None:
    seen = visit(origin, "label")
    page = seen.page
    texts = [f'Film {n}, "good"\nand {"very " * (n % 4)}long' for n in range(40)]
    texts[7], texts[9] = "  ", "x" * 301
    rows = [["id", "Text", "prediction"], *([f"=1+{n}", text, "-1.5"] for n, text in enumerate(texts))]
    path = tmp_path / "rows.csv"
    path.write_bytes(("\ufeff" + table(rows)).encode())
    seen.send(path)
    assert "40 of 40 rows · 2 errors" in page.locator(".progress-line").inner_text()
    assert page.locator("progress").get_attribute("value") == "40"
    assert page.evaluate("document.activeElement.textContent") == "Download the result"
    page.get_by_text("2 rows without an answer").click()
    assert page.locator(".errors li").all_inner_texts()[0] == "line 16: The row is empty."
    header, *answers = csv.reader(io.StringIO(seen.downloaded()))
    assert header[:5] == ["id", "Text", "prediction", "predgen prediction", "probability"] and header[-1] == "error"
    assert len(answers) == 40
    for n, (text, found) in enumerate(zip(texts, answers, strict=True)):
        told = dict(zip(header, found, strict=True))
        # A formula is disarmed, a number is not touched, and what was read is what was written.
        assert told["id"] == f"'=1+{n}" and told["prediction"] == "-1.5"
        assert told["Text"] == text
        assert bool(told["error"]) == (n in (7, 9))
        if n in (0, 3, 39):
            answer = seen.answer("label", {"text": text})
            assert told["predgen prediction"] == answer["prediction"]
            shares = {name: float(told[f"p({name})"]) for name in answer["probabilities"]}
            assert shares == pytest.approx(answer["probabilities"], abs=1e-4)
    seen.check()


def test_rows_that_the_service_refuses_do_not_take_others_with_them(visit: Visits, origin: str, tmp_path: Path) -> None:
    seen = visit(origin, "record")
    page = seen.page

    def choosy(route: Route) -> None:
        rows = json.loads(route.request.post_data or "")["rows"]
        bad = [n for n, row in enumerate(rows) if "bad" in row["text"]]
        if not bad:
            route.continue_()
            return
        error = {"code": "invalid", "message": f"Row {bad[0]} is bad.", "row": bad[0], "field": "text"}
        unnamed = {"code": "invalid", "message": "Something is bad."}
        named = "named" in rows[bad[0]]["text"]
        route.fulfill(status=422, json={"error": error if named else unnamed})

    page.route("**/v1/predict", choosy)
    texts = [f"fine {n}" for n in range(20)]
    texts[3], texts[4], texts[18] = "bad, named", "bad, named too", "bad alone"
    path = tmp_path / "rows.csv"
    path.write_text(table([["text"], *([text] for text in texts)]), encoding="utf-8")
    seen.send(path)
    header, *answers = csv.reader(io.StringIO(seen.downloaded()))
    assert header[1] == "label" and "rating low" in header
    assert [n for n, row in enumerate(answers) if row[-1]] == [3, 4, 18]
    assert answers[3][-1] == answers[4][-1] == "The row is bad." and answers[18][-1] == "Something is bad."
    assert all(row[1] in ("good", "bad") for n, row in enumerate(answers) if n not in (3, 4, 18))


def test_a_busy_service_is_waited_for_and_a_stop_keeps_what_came(visit: Visits, origin: str, tmp_path: Path) -> None:
    seen = visit(origin, "label")
    page = seen.page
    calls = {"count": 0, "hold": True}

    def busy(route: Route) -> None:
        calls["count"] += 1
        if calls["count"] == 1:
            error = {"code": "too_many", "message": "Busy."}
            route.fulfill(status=429, headers={"Retry-After": "0"}, json={"error": error})
        elif calls["count"] >= 3 and calls["hold"]:
            route.fulfill(status=503, headers={"Retry-After": "30"}, json={"error": {"message": "Busy."}})
        else:
            route.continue_()

    page.route("**/v1/predict", busy)
    path = tmp_path / "rows.tsv"
    path.write_text("text\tn\n" + "".join(f"film {n}\t{n}\n" for n in range(30)), encoding="utf-8")
    page.set_input_files("#file", path)
    # The first refusal is over at once; from the second on the service stays busy, with the first part answered.
    with page.expect_response(lambda response: response.status == 503):
        page.get_by_role("button", name="Predict 30 rows").click()
    page.get_by_text("The service is busy; trying again.").wait_for()
    assert page.get_by_label("Run").is_disabled()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped after 8 rows; 22 are left.").first.wait_for()
    assert seen.downloaded().count("not predicted: stopped before") == 22
    calls["hold"] = False
    page.get_by_role("button", name="Go on with the rest").click()
    page.get_by_text("Done: 30 rows.").first.wait_for()
    rows = list(csv.reader(io.StringIO(seen.downloaded())))
    assert len(rows) == 31 and not any(row[-1] for row in rows[1:])
    assert not page.get_by_label("Run").is_disabled()


def test_what_was_predicted_is_summed_up(visit: Visits, origin: str, tmp_path: Path) -> None:
    seen = visit(origin, "rating")
    path = tmp_path / "rows.csv"
    path.write_text(
        table([["review of", "text"], *([f"film {n % 5}", f"good {n}"] for n in range(20))]), encoding="utf-8"
    )
    seen.send(path)
    header, *answers = csv.reader(io.StringIO(seen.downloaded()))
    values = sorted(float(row[header.index("prediction")]) for row in answers)
    low, middle, high = (f"{values[place]:.1f}".replace("-", "−") for place in (1, 10, 19))
    said = seen.page.locator("#job .narrow + .hint").inner_text()
    assert said == f"How the predictions are spread: median {middle}, nine of ten between {low} and {high}."
    # A bar each, or where they lie too close together one for several.
    bars = seen.page.locator("#job .narrow svg rect title").evaluate_all("all => all.map(each => each.textContent)")
    assert 2 <= len(bars) <= len(set(values))
    assert sum(float(bar.rpartition(": ")[2].rstrip("%")) for bar in bars) == pytest.approx(100, abs=0.5)
    seen.page.get_by_label("Run").select_option("label")
    path.write_text(table([["text"], *([f"good {n}"] for n in range(20))]), encoding="utf-8")
    seen.send(path)
    bars = seen.page.get_by_role("list", name="How often each label was predicted").locator("li").all_inner_texts()
    counted = [int(re.search(r"(\d+) \(", bar).group(1)) for bar in bars]  # type: ignore[union-attr]
    assert sum(counted) == 20 and counted == sorted(counted, reverse=True)
    seen.check()


def test_a_file_can_be_dropped(visit: Visits, origin: str) -> None:
    seen = visit(origin, "rating")
    drop = """text => {
        const data = new DataTransfer();
        data.items.add(new File([text], 'dropped.csv'));
        const event = new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
        document.getElementById('drop').dispatchEvent(event);
    }"""
    seen.page.evaluate(drop, "n;REVIEW OF;words\n1;film 3;good\n")
    seen.page.get_by_text("dropped.csv").wait_for()
    begin = seen.page.get_by_role("button", name="Predict 1 row")
    assert begin.is_disabled()
    assert seen.page.get_by_label("review of is").input_value() == "1"
    seen.page.get_by_label("text is").select_option("words")
    begin.click()
    seen.page.get_by_text("Done: 1 row.").first.wait_for()
    seen.check()


def test_no_text_is_believed(visit: Visits, origin: str, tmp_path: Path) -> None:
    seen = visit(origin, "label")
    page = seen.page
    page.on("dialog", lambda dialog: seen.said.append(f"dialog: {dialog.message}"))

    def dressed(route: Route) -> None:
        told = route.fetch().json()
        for each in told["predictions"]:
            first, *others = each["probabilities"]
            shares = {HOSTILE: each["probabilities"][first], **{name: each["probabilities"][name] for name in others}}
            each.update(prediction=HOSTILE, probabilities=shares, set=[HOSTILE])
        route.fulfill(json=told)

    page.route("**/v1/predict", dressed)
    seen.predict(HOSTILE)
    assert page.locator(".headline bdi").text_content() == HOSTILE
    page.get_by_role("button", name="Show the words").click()
    page.wait_for_selector(".words .word")
    seen.predict("Another, so that the first one is listed.")
    path = tmp_path / "<b>rows.csv"
    path.write_text(table([[HOSTILE, "text"], [HOSTILE, HOSTILE], ["", "x"]]), encoding="utf-8")
    seen.send(path)
    made = seen.downloaded()
    assert list(csv.reader(io.StringIO(made)))[1][:3] == [HOSTILE, HOSTILE, HOSTILE]
    assert page.locator("img, main script, bdi > *").count() == 0
    seen.check()
