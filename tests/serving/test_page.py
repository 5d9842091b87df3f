"""The page in a real browser, in front of the real service: it answers, it fits, it is quiet, it believes no text."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from predgen.serving.app import create_app
from predgen.serving.settings import Limits, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

pytestmark = pytest.mark.browser
KEY = "a-key-of-twenty-five-signs"
KINDS = ("label", "rating", "record", "tags", "free")
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> & \u202eevil\u202c \"'`${1}` {{x}} very good"
UNNAMED = """() => [...document.querySelectorAll('button, input, select, textarea, summary, svg, [role=region]')]
    .filter(node => node.checkVisibility()).filter(node => !(node.labels?.length || node.ariaLabel
        || (node.querySelector('title') ?? node).textContent.trim()))
    .map(node => node.outerHTML)"""
PALE = """() => {
    const read = text => { const found = text.match(/^rgba?\\(([^)]*)\\)$/); if (!found) return null;
        const [r, g, b, a = 1] = found[1].split(/[ ,/]+/).map(Number); return [r, g, b, a]; };
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = node => { const layers = [];
        for (let each = node; each; each = each.parentElement) { const colour = read(getComputedStyle(each).backgroundColor);
            if (!colour) return null; layers.push(colour); if (colour[3] === 1) break; }
        return layers.reverse().reduce((below, [r, g, b, a]) => [r, g, b].map((v, i) => v * a + below[i] * (1 - a)), [0, 0, 0]); };
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walk.nextNode(); text; text = walk.nextNode()) {
        const node = text.parentElement;
        if (!text.data.trim() || !node.checkVisibility() || node.closest('svg, option, noscript, :disabled')) continue;
        const below = behind(node), ink = read(getComputedStyle(node).color);
        if (!below || !ink) continue;
        const [one, other] = [light(below), light(ink)].sort((a, b) => b - a);
        const ratio = (one + 0.05) / (other + 0.05);
        if (ratio < 4.5) found.push(ratio.toFixed(2) + ' ' + text.data.slice(0, 40));
    }
    return found; }"""


@dataclass
class Visit:
    """A page and what it did.

    Args:
        page: Open.
        origin: Of the service.
        said: On the console, and errors that nobody caught.
        asked: The addresses.
    """

    page: Page
    origin: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing was complained of, and nobody else was asked."""
        assert self.said == []
        assert [url for url in self.asked if not url.startswith((f"{self.origin}/", f"blob:{self.origin}/"))] == []

    def predict(self, *texts: str) -> None:
        """Types a text in each column and asks."""
        areas = self.page.locator("#fields textarea").all()
        for area, text in zip(areas, texts, strict=True):
            area.fill(text)
        with self.page.expect_response("**/v1/predict"):
            self.page.get_by_role("button", name="Predict", exact=True).click()
        self.page.wait_for_selector("#answer[aria-busy=false] .headline")


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serves an application on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=20)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def origin(runs: Callable[[Sequence[str]], Any]) -> Iterator[str]:
    """A service of a run of each kind."""
    with listening(create_app(runs(KINDS), Settings(Limits(rows=16, characters=300), max_batch=8))) as address:
        yield address


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens the page; what it did is looked at."""
    with ExitStack() as stack:

        def opened(origin: str, kind: str | None = None, **options: Any) -> Visit:
            context: BrowserContext = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
            stack.callback(context.close)
            context.set_default_timeout(20_000)
            made = Visit(context.new_page(), origin)
            made.page.on("console", lambda message: made.said.append(f"{message.type}: {message.text}"))
            made.page.on("pageerror", lambda problem: made.said.append(str(problem)))
            made.page.on("request", lambda request: made.asked.append(request.url))
            made.page.goto(origin)
            made.page.wait_for_selector("#content:not([hidden])")
            if kind:
                made.page.get_by_label("Run").select_option(kind)
            return made

        yield opened


def answer_of(origin: str, run: str, row: dict[str, str]) -> dict[str, Any]:
    """What the service says of a row."""
    reply = httpx.post(f"{origin}/v1/predict", json={"run": run, "row": row}, timeout=20)
    answer: dict[str, Any] = reply.raise_for_status().json()["predictions"][0]
    return answer


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_it_fits_and_is_quiet(visit: Callable[..., Visit], origin: str, theme: str, width: int) -> None:
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


def test_a_text_is_answered_with_bars(visit: Callable[..., Visit], origin: str) -> None:
    seen = visit(origin, "label")
    seen.predict("The film was very good.")
    answer = answer_of(origin, "label", {"text": "The film was very good."})
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


def test_a_number_has_its_distribution_and_its_interval(visit: Callable[..., Visit], origin: str) -> None:
    seen = visit(origin, "rating")
    seen.predict("film 3", "Very good.")
    answer = answer_of(origin, "rating", {"review of": "film 3", "text": "Very good."})
    low, high = (f"{value:.1f}".replace("-", "−") for value in answer["interval"])
    assert seen.page.locator(".headline .share").inner_text() == f"{low} to {high}"
    chart = seen.page.get_by_role("img")
    assert chart.locator("title").first.text_content().startswith("Distribution from")  # type: ignore[union-attr]
    assert chart.locator("rect").count() > 5 and chart.locator(".whisker").count() == 3
    tallest = "all => Math.max(...all.map(each => each.height.baseVal.value))"
    assert chart.locator("rect").evaluate_all(tallest) > 50
    seen.check()


@pytest.mark.parametrize(("kind", "wanted"), [("record", 2), ("tags", 1), ("free", 1)])
def test_every_kind_of_answer_is_shown(visit: Callable[..., Visit], origin: str, kind: str, wanted: int) -> None:
    seen = visit(origin, kind)
    seen.predict("The film was bad.")
    assert seen.page.locator("#answer .headline").count() == wanted
    seen.check()


@pytest.mark.parametrize("kind", ["label", "rating", "tags"])
def test_the_words_that_decided(visit: Callable[..., Visit], origin: str, kind: str) -> None:
    seen = visit(origin, kind)
    row = ["film 3", "Very good it was."] if kind == "rating" else ["The film was very good."]
    seen.predict(*row)
    seen.page.get_by_role("button", name="Show the words").click()
    seen.page.wait_for_selector(".words .word")
    seen.page.wait_for_selector(".words .word")
    assert seen.page.evaluate("document.activeElement.id") == "words-title"
    texts = dict(zip(("review of", "text"), row, strict=True)) if kind == "rating" else {"text": row[0]}
    told = httpx.post(f"{origin}/v1/explain", json={"run": kind, "row": texts}, timeout=20).json()
    pieces = [each for each in told["pieces"] if each["text"].strip()]
    read = "all => all.map(each => [each.firstChild.data, Number(each.style.getPropertyValue('--strength')), each.className])"
    shown = seen.page.locator(".words .word").evaluate_all(read)
    for piece, (text, strength, sides) in zip(pieces, shown, strict=True):
        assert text == piece["text"].strip()
        assert strength == pytest.approx(min(1.0, abs(piece["score"]) / told["score"]["scale"]), abs=2e-3)
        assert sides == ("word against" if piece["score"] < 0 and told["score"]["signed"] else "word for")
    seen.page.get_by_text("The strongest words").click()
    assert seen.page.locator("#words tbody tr").count() >= 3
    seen.check()


def test_words_for_and_against_differ_without_colour(visit: Callable[..., Visit], origin: str) -> None:
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


def test_the_request_as_a_command(visit: Callable[..., Visit], origin: str) -> None:
    seen = visit(origin, "rating", permissions=["clipboard-read", "clipboard-write"])
    row = {"review of": 'it\'s "3" $HOME `ls` \\', "text": "Line one\nand two: 100% good, naïve 👍"}
    seen.predict(row["review of"], row["text"])
    seen.page.get_by_text("The same from a terminal").click()
    seen.page.get_by_role("button", name="Copy").click()
    seen.page.wait_for_function("document.getElementById('copied').textContent !== ''")
    copied = seen.page.evaluate("navigator.clipboard.readText()")
    words = shlex.split(copied)
    assert words[:3] == ["curl", "-sS", f"{origin}/v1/predict"]
    body = json.loads(words[words.index("--data-raw") + 1])
    assert body == {"run": "rating", "rows": [row], "distribution": True}
    assert words[words.index("-H") + 1] == "Content-Type: application/json"
    seen.check()


def test_earlier_answers_can_be_asked_again(visit: Callable[..., Visit], origin: str) -> None:
    seen = visit(origin, "label")
    for text in ("One good film", "Two bad films", "One good film", "Three"):
        seen.predict(text)
    kept = seen.page.locator("#earlier button .text")
    assert kept.all_inner_texts() == ["One good film", "Two bad films"]
    with seen.page.expect_response("**/v1/predict"):
        kept.nth(1).click()
    assert seen.page.get_by_label("text", exact=True).input_value() == "Two bad films"
    seen.page.wait_for_function("document.querySelector('#earlier .text').textContent === 'Three'")
    seen.check()


def test_no_text_is_believed(visit: Callable[..., Visit], origin: str, tmp_path: Path) -> None:
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
    send_file(page, path)
    made = downloaded(page)
    assert list(csv.reader(io.StringIO(made)))[1][:3] == [HOSTILE, HOSTILE, HOSTILE]
    assert page.locator("img, main script, bdi > *").count() == 0
    seen.check()


def table(rows: Sequence[Sequence[str]], end: str = "\r\n") -> str:
    """Rows as CSV."""
    made = io.StringIO()
    csv.writer(made, lineterminator=end).writerows(rows)
    return made.getvalue()


def send_file(page: Page, path: Path) -> None:
    """Chooses a file and waits until all of its rows are through."""
    page.set_input_files("#file", path)
    page.get_by_role("button", name=re.compile(r"Predict \d+ rows?")).click()
    page.get_by_role("button", name="Download the result").wait_for()


def downloaded(page: Page) -> str:
    """The result's text, without its byte order mark."""
    with page.expect_download() as event:
        page.get_by_role("button", name="Download the result").click()
    assert event.value.suggested_filename.endswith("-predicted.csv")
    text = Path(event.value.path()).read_bytes().decode("utf-8")
    assert text.startswith("\ufeff")
    return text[1:]


def test_a_table_is_predicted_and_downloaded(visit: Callable[..., Visit], origin: str, tmp_path: Path) -> None:
    seen = visit(origin, "label")
    page = seen.page
    texts = [f'Film {n}, "good"\nand {"very " * (n % 4)}long' for n in range(40)]
    texts[7], texts[9] = "  ", "x" * 301
    rows = [["id", "Text", "prediction"], *([f"=1+{n}", text, "-1.5"] for n, text in enumerate(texts))]
    path = tmp_path / "rows.csv"
    path.write_bytes(("\ufeff" + table(rows)).encode())
    send_file(page, path)
    assert "40 of 40 rows · 2 errors" in page.locator(".progress-line").inner_text()
    assert page.locator("progress").get_attribute("value") == "40"
    assert page.evaluate("document.activeElement.textContent") == "Download the result"
    page.get_by_text("2 rows without an answer").click()
    assert page.locator(".errors li").all_inner_texts()[0] == "line 16: The row is empty."
    header, *answers = csv.reader(io.StringIO(downloaded(page)))
    assert header[:5] == ["id", "Text", "prediction", "predgen prediction", "probability"] and header[-1] == "error"
    assert len(answers) == 40
    for n, (text, found) in enumerate(zip(texts, answers, strict=True)):
        told = dict(zip(header, found, strict=True))
        # A formula is disarmed, a number is not touched, and what was read is what was written.
        assert told["id"] == f"'=1+{n}" and told["prediction"] == "-1.5"
        assert told["Text"] == text
        assert bool(told["error"]) == (n in (7, 9))
        if n in (0, 3, 39):
            answer = answer_of(origin, "label", {"text": text})
            assert told["predgen prediction"] == answer["prediction"]
            shares = {name: float(told[f"p({name})"]) for name in answer["probabilities"]}
            assert shares == pytest.approx(answer["probabilities"], abs=1e-4)
    seen.check()


def test_rows_that_the_service_refuses_do_not_take_others_with_them(
    visit: Callable[..., Visit], origin: str, tmp_path: Path
) -> None:
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
    send_file(page, path)
    header, *answers = csv.reader(io.StringIO(downloaded(page)))
    assert header[1] == "label" and "rating low" in header
    assert [n for n, row in enumerate(answers) if row[-1]] == [3, 4, 18]
    assert answers[3][-1] == answers[4][-1] == "The row is bad." and answers[18][-1] == "Something is bad."
    assert all(row[1] in ("good", "bad") for n, row in enumerate(answers) if n not in (3, 4, 18))


def test_a_busy_service_is_waited_for_and_a_stop_keeps_what_came(
    visit: Callable[..., Visit], origin: str, tmp_path: Path
) -> None:
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
    page.get_by_role("button", name="Predict 30 rows").click()
    page.get_by_text("The service is busy; trying again.").wait_for()
    assert page.get_by_label("Run").is_disabled()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped after 8 rows; 22 are left.").first.wait_for()
    assert downloaded(page).count("not predicted: stopped before") == 22
    calls["hold"] = False
    page.get_by_role("button", name="Go on with the rest").click()
    page.get_by_text("Done: 30 rows.").first.wait_for()
    rows = list(csv.reader(io.StringIO(downloaded(page))))
    assert len(rows) == 31 and not any(row[-1] for row in rows[1:])
    assert not page.get_by_label("Run").is_disabled()


def test_with_the_keyboard_alone(visit: Callable[..., Visit], origin: str, tmp_path: Path) -> None:
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
    with page.expect_file_chooser() as chooser:
        board.press("Space")
    chooser.value.set_files(path)
    page.get_by_role("button", name="Predict 2 rows").wait_for()
    tab_to("node.textContent === 'Predict 2 rows'")
    board.press("Enter")
    page.get_by_role("button", name="Download the result").wait_for()
    with page.expect_download():
        board.press("Enter")
    seen.check()


def test_a_file_can_be_dropped(visit: Callable[..., Visit], origin: str) -> None:
    seen = visit(origin, "rating")
    drop = """text => { const data = new DataTransfer(); data.items.add(new File([text], 'dropped.csv'));
        document.getElementById('drop').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); }"""
    seen.page.evaluate(drop, "n;REVIEW OF;words\n1;film 3;good\n")
    seen.page.get_by_text("dropped.csv").wait_for()
    begin = seen.page.get_by_role("button", name="Predict 1 row")
    assert begin.is_disabled()
    assert seen.page.get_by_label("review of is").input_value() == "1"
    seen.page.get_by_label("text is").select_option("words")
    begin.click()
    seen.page.get_by_text("Done: 1 row.").first.wait_for()
    seen.check()


def test_what_cannot_be_asked_is_said_at_its_field(visit: Callable[..., Visit], origin: str) -> None:
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


def test_a_service_that_goes_away_is_told_of(visit: Callable[..., Visit], origin: str) -> None:
    seen = visit(origin, "label")
    seen.page.route("**/v1/predict", lambda route: route.abort())
    seen.page.get_by_label("text", exact=True).fill("good")
    seen.page.get_by_role("button", name="Predict", exact=True).click()
    seen.page.get_by_text("The service does not answer. Is it still running?").wait_for()


def test_a_key_is_asked_for_and_kept_out_of_the_command(
    visit: Callable[..., Visit], runs: Callable[[Sequence[str]], Any]
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


CSV_CASES = [
    ("a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
    ("\ufeffa,b\r\n1,2", [["a", "b"], ["1", "2"]]),
    ('a\r"x ""y"", z\r\nw"\r', [["a"], ['x "y", z\r\nw']]),
    ("a,b\n,\n\n \n1,\n", [["a", "b"], ["", ""], ["1", ""]]),
    ('a;b\n"1;2";3,4\n', [["a", "b"], ["1;2", "3,4"]]),
    ('a\tb\n1\t"2\t"\n', [["a", "b"], ["1", "2\t"]]),
    ('a,b\n1,in "quotes" here\n"x"y,2\n', [["a", "b"], ["1", 'in "quotes" here'], ["xy", "2"]]),
    ('"a\nb",c\n1,2\n3\n4,5,,\n', [["a\nb", "c"], ["1", "2"], ["3", ""], ["4", "5"]]),
]
CSV_PROBLEMS = [
    ("", "The file is empty."),
    ("a,b\n", "no rows below it"),
    ("a,a\n1,2\n", 'The column "a" is there twice.'),
    (",\n1,2\n", "names no columns"),
    ('a\n"x\ny', "The quote that opens on line 2 is never closed."),
    ("a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, the header 2"),
]
GUARDED = [
    ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("-2+3", "'-2+3"), ("@SUM(A1)", "'@SUM(A1)"),
    ("  =1", "'  =1"), ("\t=1", "'\t=1"), ("＝1", "'＝1"), ("-1.5", "-1.5"), ("+3", "+3"), ("1e-3", "1e-3"),
    ("-", "'-"), ("a=1", "a=1"), ("", ""),
]  # fmt: skip


def test_csv_is_read_and_written(visit: Callable[..., Visit], origin: str) -> None:
    page = visit(origin).page
    read = """async text => { const csv = await import('/assets/csv.js');
        try { const found = csv.readTable(text); return [found.columns, ...found.rows]; }
        catch (problem) { if (!(problem instanceof csv.CsvProblem)) throw problem; return problem.message; } }"""
    for text, wanted in CSV_CASES:
        assert page.evaluate(read, text) == wanted, text
    for text, message in CSV_PROBLEMS:
        assert message in page.evaluate(read, text), text
    guard = "async cell => (await import('/assets/csv.js')).guarded(cell)"
    for cell, wanted in GUARDED:
        assert page.evaluate(guard, cell) == wanted
    rows = [["a", 'q"uote', "line\r\nbreak"], [" space", "semi;colon", "ünï 👍"], ["", "plain", "1.5"]]
    written = page.evaluate("async rows => (await import('/assets/csv.js')).writeTable(rows)", rows)
    assert list(csv.reader(io.StringIO(written[1:], newline=""))) == rows
    decode = """async bytes => { const csv = await import('/assets/csv.js');
        try { return csv.decodeBytes(new Uint8Array(bytes).buffer); } catch (problem) { return problem.message; } }"""
    assert page.evaluate(decode, list("é,b".encode("utf-16"))) == "é,b"
    assert "not in UTF-8" in page.evaluate(decode, list("é,b".encode("latin-1")))
