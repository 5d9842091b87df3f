"""The page of all settings, out of the comments in src/predgen/config.py, so that nothing is written down twice."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

MARK = "<!-- every setting -->"
SOURCE = "src/predgen/config.py"


@dataclass(frozen=True)
class Setting:
    """One setting, or one section of them.

    Args:
        name: Dotted.
        default: As Python writes it; empty of a section.
        values: What it takes, in Markdown.
        comment: What it is.
    """

    name: str
    default: str
    values: str
    comment: str


@dataclass(frozen=True)
class Section:
    """What one dataclass holds.

    Args:
        name: Its dotted name; empty at the top.
        about: Its docstring.
        settings: In order, without the sections in it.
    """

    name: str
    about: str
    settings: list[Setting]


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Puts the tables in the place of the mark."""
    if MARK not in markdown:
        return markdown
    source = (Path(config.docs_dir).parent / SOURCE).read_text(encoding="utf-8")
    return markdown.replace(MARK, "\n".join(table(section) for section in sections(source)))


def table(section: Section) -> str:
    """A section as a heading and a table."""
    lines = [f"## {f'`{section.name}`' if section.name else 'At the top'}", "", section.about, ""]
    if section.settings:
        lines += ["| setting | default | takes | |", "| --- | --- | --- | --- |"]
    for each in section.settings:
        comment = each.comment.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| `{each.name}` | `{each.default}` | {each.values} | {comment} |")
    return "\n".join([*lines, ""])


def sections(source: str) -> list[Section]:
    """All sections of `RunConfig`, outer ones first."""
    tree = ast.parse(source)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    aliases = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    comments = _comments(source)
    return list(_walk("RunConfig", "", classes, aliases, comments))


def _walk(
    kind: str, name: str, classes: dict[str, ast.ClassDef], aliases: dict[str, ast.expr], comments: dict[int, str]
) -> Iterator[Section]:
    settings, inner = [], []
    for node in classes[kind].body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        dotted = f"{name}.{node.target.id}".lstrip(".")
        of_each = {part.id for part in ast.walk(node.annotation) if isinstance(part, ast.Name)} & set(classes)
        if of_each:
            under = dotted if isinstance(node.annotation, ast.Name) else f"{dotted}.NAME"
            inner.append((of_each.pop(), under))
            continue
        default = "" if node.value is None else ast.unparse(node.value)
        comment = _comment_of(node, comments)
        settings.append(Setting(dotted, default, _values(node.annotation, aliases), comment))
    yield Section(name, ast.get_docstring(classes[kind]) or "", settings)
    for each, under in inner:
        yield from _walk(each, under, classes, aliases, comments)


def _values(annotation: ast.expr, aliases: dict[str, ast.expr]) -> str:
    """What a setting takes, in the fewest signs: the choices of a Literal, else the type."""
    if isinstance(annotation, ast.Name) and annotation.id in aliases:
        return _values(aliases[annotation.id], aliases)
    if isinstance(annotation, ast.BinOp):
        return f"{_values(annotation.left, aliases)} or {_values(annotation.right, aliases)}"
    if isinstance(annotation, ast.Subscript):
        outer = ast.unparse(annotation.value)
        parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if outer == "Literal":
            return ", ".join(f"`{ast.literal_eval(part)}`" for part in parts)
        if outer == "Annotated":
            return _values(parts[0], aliases) + _bounds(parts[1:])
        inner = ", ".join(_values(part, aliases).replace("`", "") for part in parts)
        return f"`{outer}[{inner}]`"
    return f"`{ast.unparse(annotation)}`"


def _bounds(limits: list[ast.expr]) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    said = [
        f"{signs[limit.arg]} {ast.unparse(limit.value).removesuffix('.0')}"
        for call in limits
        if isinstance(call, ast.Call)
        for limit in call.keywords
        if limit.arg in signs
    ]
    return f" {', '.join(said)}" if said else ""


def _comments(source: str) -> dict[int, str]:
    """Line → its comment; those that stand alone open with a line break."""
    lines = source.splitlines()
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0]
            alone = lines[line - 1].lstrip().startswith("#")
            found[line] = ("\n" if alone else "") + token.string.lstrip("# ")
    return found


def _comment_of(node: ast.AnnAssign, comments: dict[int, str]) -> str:
    above, line = [], node.lineno - 1
    while comments.get(line, "").startswith("\n"):
        above.insert(0, comments[line].strip())
        line -= 1
    beside = [comments[at] for at in range(node.lineno, (node.end_lineno or node.lineno) + 1) if at in comments]
    return " ".join([*above, *beside])
