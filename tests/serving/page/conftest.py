"""The page in a real browser, in front of the real service."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from predgen.serving.app import create_app
from predgen.serving.settings import Limits, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

KINDS = ("label", "rating", "record", "tags", "free")


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

    def answer(self, run: str, row: dict[str, str]) -> dict[str, Any]:
        """What the service says of a row."""
        reply = httpx.post(f"{self.origin}/v1/predict", json={"run": run, "row": row}, timeout=20)
        answer: dict[str, Any] = reply.raise_for_status().json()["predictions"][0]
        return answer

    def send(self, path: Path) -> None:
        """Chooses a file and waits until all of its rows are through."""
        self.page.set_input_files("#file", path)
        self.page.get_by_role("button", name=re.compile(r"Predict \d+ rows?")).click()
        self.page.get_by_role("button", name="Download the result").wait_for()

    def downloaded(self) -> str:
        """The result's text, without its byte order mark."""
        with self.page.expect_download() as event:
            self.page.get_by_role("button", name="Download the result").click()
        assert event.value.suggested_filename.endswith("-predicted.csv")
        text = Path(event.value.path()).read_bytes().decode("utf-8")
        assert text.startswith("\ufeff")
        return text[1:]


@pytest.fixture(scope="session")
def origin(runs: Callable[[Sequence[str]], Any], listening: Callable[[Any], Any]) -> Iterator[str]:
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
