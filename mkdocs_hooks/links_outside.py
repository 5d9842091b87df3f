"""Links that leave docs/ work on GitHub; here they become links on the site where it has the page, or plain text."""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<![!`])\[(?P<text>[^\]]*)\]\((?P<target>\.\./[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
LOG = logging.getLogger("mkdocs.hooks.links_outside")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files, **_: Any) -> str:
    """Rewrites every link to a file beside docs/; one that is not there is a warning, which a strict build refuses."""
    folder = posixpath.dirname(page.file.src_uri)
    root = Path(config.docs_dir).parent

    def rewritten(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link["target"]))
        if not path.startswith("../"):
            return link[0]  # mkdocs checks what stays inside
        path = path.removeprefix("../")
        if not (root / path).exists():
            LOG.warning("%s links to %s, which does not exist.", page.file.src_uri, path)
        if files.get_file_from_path(path) is not None:
            return f"[{link['text']}]({posixpath.relpath(path, folder or '.')}{link['anchor'] or ''})"
        if config.repo_url:
            return f"[{link['text']}]({config.repo_url.rstrip('/')}/blob/main/{path}{link['anchor'] or ''})"
        return link["text"] if path in link["text"].strip("`") else f"{link['text']} (`{path}`)"

    return LINK.sub(rewritten, markdown)
