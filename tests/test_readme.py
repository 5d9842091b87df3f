"""The README's commands and Python run, on small rows and a tiny model; other pages' commands are at least parsed."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from datasets import Dataset
from typer.testing import CliRunner

from predgen.cli import app
from predgen.config import RunConfig
from predgen.config_reading import setting_names
from predgen.errors import nearest
from predgen.prediction import LabelPrediction, NumberPrediction

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(predgen\s[^`]+)`")

# Commands that are not run here, and why. Those of predgen are parsed all the same.
NOT_RUN = {
    "make demo": "fetches a model and data, and takes ten minutes",
    "make test": "runs this very test",
    "predgen fit --config recipes/vader_tweets.yaml --method predgen --seed 0 --set train.precision=bf16": "1,500 rows",
    "predgen information RUN RUN DATA": "minutes, and hundreds of rows; tests/information runs it",
    "predgen tune reviews.csv --target stars --trials 30": "thirty fits; tests/tuning runs a few",
    "predgen serve runs/stars": "answers until it is stopped; tests/serving runs it",
    "predgen reproduce table2 --scale cpu": "days; tests/reproduce runs the scale smoke",
}
# What a reader puts in the place of a word in capitals, or of a command cut short.
MEANT = {
    "predgen report": "predgen report runs/stars --maps 0",
    "predgen compare RUN RUN DATA": "predgen compare runs/stars runs/reviews-predgen held_out.csv --resamples 20",
    'predgen explain RUN "text"': 'predgen explain runs/stars "A film to remember."',
}


class Block(NamedTuple):
    language: str
    text: str


def blocks(markdown: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(markdown)]


def commands(shell: str) -> list[list[str]]:
    """A shell block's commands, as a shell splits them; comments are dropped, and `.venv/bin/` in front."""
    split = [shlex.split(line, comments=True) for line in shell.replace("\\\n", " ").splitlines()]
    return [[words[0].removeprefix(".venv/bin/"), *words[1:]] for words in split if words]


def inline_commands(markdown: str) -> list[str]:
    """The commands in running text, each once."""
    return list(dict.fromkeys(" ".join(found.split()) for found in INLINE.findall(BLOCK.sub("", markdown))))


def not_run(words: list[str]) -> bool:
    return shlex.join(words) in {shlex.join(shlex.split(line)) for line in NOT_RUN}


@pytest.fixture(scope="module")
def desk(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README speaks of; what exists there wins over models and data sets by name."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "smollm2-135m").symlink_to(tiny_base)
    (folder / "recipes").symlink_to(ROOT / "recipes")
    words = ("very good", "bad", "not bad", "terrible", "good")
    rows = [
        {
            "review": f"The film {n} was {words[n % 5]}",
            "stars": (5, 2, 3, 1, 4)[n % 5],
            "language": ("en", "de")[n % 2],
        }
        for n in range(40)
    ]
    for name, chosen in (("reviews", rows), ("new", rows[:5]), ("held_out", rows[7:27])):
        lines = ["review,stars,language", *(",".join(map(str, row.values())) for row in chosen)]
        (folder / f"{name}.csv").write_text("\n".join(lines))
    pairs = [{"a": f"good film {n}", "b": f"bad film {n}", "score": n % 13 / 10} for n in range(40)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    tweets = [
        {"text": row["review"], "polarity": ("positive", "negative")[n % 2], "rating": (n % 17 - 8) / 2}
        for n, row in enumerate(rows)
    ]
    Dataset.from_list(tweets).save_to_disk(folder / "vader-tweets")
    sentences = [{"sentence1": f"a film {n}", "sentence2": "a good film", "score": n % 11 / 2} for n in range(40)]
    (folder / "data" / "stsb").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        (folder / "data" / "stsb" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, sentences)))
    return folder


@pytest.fixture
def at_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("PREDGEN_CACHE", str(desk / "cache"))
    return desk


def call(words: list[str]) -> str:
    assert words[0] == "predgen", f"Neither run nor listed in NOT_RUN: {shlex.join(words)}"
    result = CliRunner().invoke(app, words[1:])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, f"{shlex.join(words)}\n{result.output}"
    return result.output


def parse(words: list[str]) -> None:
    """Raises where the command line does not know a command or an option, or lacks an argument."""
    group = typer.main.get_command(app)
    command = group.commands[words[1]]  # type: ignore[attr-defined]
    command.make_context(words[1], words[2:]).close()


# In the README's order: what a command reads, one above has written.


@pytest.mark.parametrize("number", [n for n, block in enumerate(blocks(README)) if block.language == "bash"])
def test_shell_block(number: int, at_desk: Path) -> None:
    for words in commands(blocks(README)[number].text):
        if not not_run(words):
            call(words)


@pytest.mark.parametrize("number", [n for n, block in enumerate(blocks(README)) if block.language == "python"])
def test_python_block(number: int, at_desk: Path) -> None:
    import pandas as pd

    frame = pd.read_csv("reviews.csv")
    given: dict[str, Any] = {"frame": frame, "texts": frame["review"].tolist(), "labels": frame["stars"].tolist()}
    exec(compile(blocks(README)[number].text, "README.md", "exec"), given)


@pytest.mark.parametrize("number", [n for n, block in enumerate(blocks(README)) if block.language == "json"])
def test_json_block_is_what_predict_writes(number: int) -> None:
    for line in blocks(README)[number].text.splitlines():
        row = json.loads(line)
        kind = LabelPrediction if "probabilities" in row else NumberPrediction
        kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})


def test_the_tree_of_files_is_there() -> None:
    (tree,) = (block.text for block in blocks(README) if block.language == "")
    folder, seen = ROOT, 0
    for line in tree.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0]
        for name in names.split(", "):
            path = ROOT / name if not line.startswith(" ") else folder / name
            assert path.exists(), line
            seen += 1
        folder = ROOT / names if names.startswith("src/") else folder
    assert seen > 15


def test_every_block_is_of_a_kind_that_is_looked_at() -> None:
    kinds = {block.language for block in blocks(README)}
    assert kinds == {"bash", "python", "json", ""}
    assert README.count("```") == 2 * len(blocks(README))


@pytest.mark.parametrize("line", [line for line in inline_commands(README) if line not in NOT_RUN])
def test_command_in_running_text(line: str, at_desk: Path) -> None:
    call(shlex.split(MEANT.get(line, line)))


def test_what_is_listed_is_in_the_readme() -> None:
    """So that neither list outlives the sentence it was made for."""
    shell = [
        shlex.join(words) for block in blocks(README) if block.language == "bash" for words in commands(block.text)
    ]
    there = {*shell, *inline_commands(README)}
    assert set(NOT_RUN) <= there and set(MEANT) <= there


def of_predgen(page: Path) -> list[list[str]]:
    """All predgen commands of a page's shell blocks."""
    return [
        words[words.index("predgen") :]
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.language == "bash"
        for words in commands(block.text)
        if "predgen" in words
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_shows_commands_and_settings_that_there_are(page: Path) -> None:
    known = setting_names(RunConfig().to_dict())
    for words in of_predgen(page):
        parse(words)
        for option, value in pairwise(words):
            if option == "--set":
                name = value.partition("=")[0]
                if not name.startswith("fields."):
                    assert name in known, f"{nearest(name, known)} In: {shlex.join(words)}"
