"""The documentation site: a strict build, whole links, and nothing that is loaded from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from predgen.config import RunConfig
from predgen.config_reading import setting_names

ROOT = Path(__file__).parents[1]
HOST = "http://site.invalid/"


@dataclass
class Html(HTMLParser):
    """What a page has, leads to and loads."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect", "dns-prefetch"):
            self.loaded.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs).")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, "\n".join(line for line in built.stderr.splitlines() if not line.startswith("INFO"))
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Html]:
    """Address → page."""
    found = {}
    for path in sorted(site.rglob("*.html")):
        page = Html()
        page.feed(path.read_text(encoding="utf-8"))
        found[path.relative_to(site).as_posix().removesuffix("index.html")] = page
    return found


def test_every_page_and_notebook_is_on_the_site(pages: dict[str, Html]) -> None:
    sources = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    sources += [path.relative_to(ROOT) for path in (ROOT / "notebooks").glob("*.ipynb")]
    for source in sources:
        address = source.with_suffix("").as_posix() + "/"
        assert ("" if address == "index/" else address) in pages
    assert {"classification", "regression", "explain"} <= {source.stem for source in sources}


def test_the_navigation_leads_to_every_page(pages: dict[str, Html]) -> None:
    reached = {urlsplit(urljoin(HOST, link)).path.lstrip("/") for link in pages[""].links}
    reached = {address.removeprefix(".").lstrip("/") for address in reached}
    assert set(pages) - {"404.html"} <= reached


def test_links_lead_somewhere(site: Path, pages: dict[str, Html]) -> None:
    broken, checked = [], 0
    for address, page in pages.items():
        if address == "404.html":
            continue  # its links start at the host's root, wherever that is
        for link in page.links:
            parts = urlsplit(urljoin(HOST + address, link))
            if parts.netloc != urlsplit(HOST).netloc:
                continue
            checked += 1
            target, anchor = unquote(parts.path).lstrip("/"), unquote(parts.fragment)
            there = target in pages or (site / target).is_file()
            if not there or (anchor and target in pages and anchor not in pages[target].ids):
                broken.append((address, link))
    assert not broken
    assert checked > 500


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Html]) -> None:
    for address, page in pages.items():
        foreign = [url for url in page.loaded if urlsplit(url).scheme not in ("", "data") or url.startswith("//")]
        assert not foreign, address
    for path in site.rglob("*.css"):
        foreign = re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", path.read_text(encoding="utf-8"))
        assert not foreign, path


def test_the_public_names_have_an_entry(pages: dict[str, Html]) -> None:
    import predgen

    entries = {name.rpartition(".")[2] for name in pages["reference/python/"].ids if name.startswith("predgen.")}
    assert set(predgen.__all__) - {"Prediction"} <= entries  # a union of types that have an entry each


def hook_of(name: str) -> ModuleType:
    """One of mkdocs_hooks/, imported."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs).")
    spec = importlib.util.spec_from_file_location(name, ROOT / "mkdocs_hooks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def around(page: str, repository: str | None) -> tuple[ModuleType, Any, Any, Any]:
    """The hook for links, and what mkdocs gives it."""
    hook = hook_of("links_outside")
    from mkdocs.structure.files import File, Files

    files = Files([File("notebooks/explain.ipynb", str(ROOT), "site", True)])
    config = SimpleNamespace(docs_dir=str(ROOT / "docs"), repo_url=repository)
    return hook, SimpleNamespace(file=SimpleNamespace(src_uri=page)), config, files


def test_every_setting_is_listed_with_its_default() -> None:
    settings_table = hook_of("settings_table")
    source = (ROOT / settings_table.SOURCE).read_text(encoding="utf-8")
    listed = {each.name: each for section in settings_table.sections(source) for each in section.settings}
    named = {name for name in listed if not name.startswith("fields.NAME.")}
    assert named == setting_names(RunConfig().to_dict()) - {"fields"}
    assert listed["train.batch_size"].default == "16"
    assert listed["train.schedule"].values == "`cosine`, `linear`, `constant`"
    assert listed["peft.dropout"].values == "`float` ≥ 0, < 1"
    assert listed["director.kind"].comment.startswith("classes: class, vocabulary; numbers:")
    assert listed["data.target"].values == "`str` or `tuple[str, ...]` or `None`"
    assert listed["space.digits"].comment == "free: most digits before the point; log: significant ones"


def test_the_page_of_settings_is_filled_in(site: Path) -> None:
    page = (site / "reference" / "settings" / "index.html").read_text(encoding="utf-8")
    assert "search.beam_nodes" in page and "every setting -->" not in page


@pytest.mark.parametrize(
    ("repository", "markdown", "made"),
    [
        (None, "[a](../LICENSE)", "a (`LICENSE`)"),
        (None, "[`LICENSE`](../LICENSE)", "`LICENSE`"),
        (
            "https://host.invalid/p/",
            "[a](../README.md#limits)",
            "[a](https://host.invalid/p/blob/main/README.md#limits)",
        ),
        (None, "[a](../notebooks/explain.ipynb)", "[a](notebooks/explain.ipynb)"),
        (None, "![a](../x.png) [b](c.md) `[d](../e)`", "![a](../x.png) [b](c.md) `[d](../e)`"),
    ],
)
def test_links_that_leave_docs(repository: str | None, markdown: str, made: str) -> None:
    hook, page, config, files = around("page.md", repository)
    assert hook.on_page_markdown(markdown, page=page, config=config, files=files) == made


def test_a_link_to_a_file_that_is_not_there_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    hook, page, config, files = around("kinds/page.md", None)
    hook.on_page_markdown("[a](../../LICENSE)", page=page, config=config, files=files)
    assert not caplog.records
    hook.on_page_markdown("[a](../../nothing)", page=page, config=config, files=files)
    assert "kinds/page.md links to nothing, which does not exist" in caplog.text
