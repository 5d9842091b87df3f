"""Table 5: arithmetic word problems, tested on five sets after training on math10k.

All sets are brought to one form: ``question``, and ``answer``, which is a worked solution with its number behind
``####`` where the source has one, else the number.
"""

from __future__ import annotations

import re
from typing import Any

from predgen.data.table import Row
from predgen.data.targets import label_of, number_of
from predgen.data.tasks.task import HubCopy, Leaks, SplitName, Task

MARKER = "####"
_SCORER = "https://github.com/AGI-Edgerunners/LLM-Adapters"
_STAND_IN = (
    "math10k's own rows were not found: the training rows of gsm8k and svamp stand in for it, and every figure rests "
    "on that. (The file of LLM-Adapters goes into the data folder as math10k/train.json.)"
)
_SPACE: dict[str, Any] = {"kind": "free", "digits": 10, "decimals": 4}
_SPACE_REASON = (
    "any number, written digit by digit behind a worked solution; exact match is |error| < 0.0001, so four decimals, "
    "and the largest answer has nine digits"
)


def read_gsm8k(row: Row) -> Row:
    """The common form already, but for its calculator's marks (``<<48/2=24>>``), which are taken out."""
    return {"question": row["question"], "answer": re.sub(r"<<[^<>]*>>", "", row["answer"])}


def read_svamp(row: Row) -> Row:
    """Body and question together; the equation is the worked solution."""
    body = str(row["Body"]).strip()
    question = f"{body}{'' if body.endswith(('.', ',', '?', '!')) else '.'} {str(row['Question']).strip()}"
    number = _plain(row["Answer"])
    equation = " ".join(_plain(part) for part in str(row["Equation"]).removeprefix("(").removesuffix(")").split())
    return {"question": question, "answer": f"{equation} = {number}\n{MARKER} {number}"}


def read_listed(row: Row) -> Row:
    """MultiArith, AddSub and SingleEq: the one solution of a list."""
    return {"question": str(row["sQuestion"]).strip(), "answer": _plain(row["lSolutions"][0])}


def read_math10k(row: Row) -> Row | None:
    """``instruction``, ``input``, ``output`` and ``answer``; None where the answer is no number."""
    if number_of(row["answer"]) is None:
        return None
    given = str(row.get("input") or "").strip()
    question = str(row["instruction"]).strip() + ("\n" + given if given else "")
    return {"question": question, "answer": f"{str(row['output']).strip()}\n{MARKER} {_plain(row['answer'])}"}


def _plain(value: Any) -> str:
    """A number as one writes it: 27.0 is 27; anything else as it is."""
    text = str(value).strip()
    try:
        return label_of(float(text))
    except ValueError:
        return text


def _arithmetic(
    name: str, title: str, columns: tuple[str, ...], sample: Row, rows: dict[SplitName, int], **own: Any
) -> Task:
    return Task(
        name=name,
        title=title,
        kind="arithmetic",
        columns=columns,
        template="Question: {question}",
        cue="\nAnswer:",
        target="answer",
        metric="exact_match",
        metrics=("exact_match",),
        scorer="https://github.com/AGI-Edgerunners/LLM-Adapters",
        rows=rows,
        reported="test",
        dev=None,
        sample=sample,
        space={"kind": "free", "digits": 10, "decimals": 4},
        space_reason=_SPACE_REASON,
        **own,
    )


_LISTED = ("sQuestion", "lSolutions")
_ON_MATH10K: dict[SplitName, tuple[str, ...]] = {"train": ("math10k/train",)}

MATH10K = _arithmetic(
    "math10k",
    "word problems with worked solutions, for training",
    ("instruction", "output", "answer"),
    {
        "instruction": "A box holds 6 eggs. How many eggs do 4 boxes hold?",
        "input": "",
        "output": "One box holds 6 eggs. 4 boxes hold 4 * 6 = 24 eggs. The answer is 24.",
        "answer": "24",
    },
    {"train": 9919},
    aliases=("math-10k", "math_10k"),
    read=read_math10k,
    parts={
        "train": ("gsm8k/train", "svamp/train"),
        "test": ("multiarith/test", "gsm8k/test", "addsub/test", "singleeq/test", "svamp/test"),
    },
    stand_in=_STAND_IN,
    licence="ODC-By",
    notes=(
        "Training rows of Table 5; its test split is the five test sets together.",
        "Where its file is not there, the training rows of gsm8k and svamp stand in, and fit says so.",
        "Rows whose answer is no number (multiple choice, from AQuA) are left out, and counted.",
    ),
)

MULTIARITH = _arithmetic(
    "multiarith",
    "word problems of several steps",
    _LISTED,
    {"sQuestion": "Ada had 3 bags of 5 nuts and ate 4 nuts. How many nuts are left?", "lSolutions": [11.0]},
    {"test": 600},
    aliases=("multi-arith",),
    read=read_listed,
    parts=_ON_MATH10K,
    hub=HubCopy(
        "ChilleD/MultiArith",
        None,
        None,
        {"test": "test"},
        lambda row: {"sQuestion": row["question"], "lSolutions": [row["final_ans"]]},
        "180 of the 600 rows: the others are its training split",
    ),
    licence="ODC-By",
    notes=("No training rows of its own: `predgen fit multiarith` trains on math10k.",),
)

GSM8K = _arithmetic(
    "gsm8k",
    "school word problems of two to eight steps",
    ("question", "answer"),
    {
        "question": "Tom picks 4 apples an hour for 3 hours and gives 2 away. How many has he?",
        "answer": "Tom picks 4*3=<<4*3=12>>12 apples.\nHe has 12-2=<<12-2=10>>10.\n#### 10",
    },
    {"train": 7473, "test": 1319},
    aliases=("gsm-8k", "grade-school-math"),
    read=read_gsm8k,
    hub=HubCopy("openai/gsm8k", "main", None, {"train": "train", "test": "test"}, dict),
    leaks=Leaks(test=0),
    licence="MIT",
    notes=("`predgen fit gsm8k` trains on its own training rows; Table 5's cell on math10k: data.source=math10k.",),
)

ADDSUB = _arithmetic(
    "addsub",
    "word problems of addition and subtraction",
    _LISTED,
    {"sQuestion": "Mia had 7 pens . She lost 2 . How many pens are left ? ", "lSolutions": ["5"]},
    {"test": 395},
    aliases=("add-sub",),
    read=read_listed,
    parts=_ON_MATH10K,
    licence="ODC-By",
    notes=("No training rows of its own: `predgen fit addsub` trains on math10k.",),
)

SINGLEEQ = _arithmetic(
    "singleeq",
    "word problems of a single equation",
    _LISTED,
    {"sQuestion": "Ben paid 2.5 dollars for 2 cards. What did one card cost?", "lSolutions": [1.25]},
    {"test": 508},
    aliases=("single-eq",),
    read=read_listed,
    parts=_ON_MATH10K,
    licence="ODC-By",
    notes=("No training rows of its own: `predgen fit singleeq` trains on math10k.",),
)

_SVAMP_SAMPLE: Row = {
    "ID": "1",
    "Body": "There are 9 birds on a roof. 4 fly away",
    "Question": "How many birds are left?",
    "Equation": "( 9.0 - 4.0 )",
    "Answer": 5.0,
    "Type": "Subtraction",
}
_SVAMP = ("Body", "Question", "Equation", "Answer")

SVAMP = _arithmetic(
    "svamp",
    "simple word problems, told in misleading ways",
    _SVAMP,
    _SVAMP_SAMPLE,
    {"train": 700, "test": 300},
    aliases=(),
    read=read_svamp,
    hub=HubCopy("ChilleD/SVAMP", None, None, {"train": "train", "test": "test"}, dict),
    leaks=Leaks(test=0),
    licence="MIT",
    notes=(
        "The split of 700 and 300 that many use; LLM-Adapters tests on all 1000 (svamp1000), which hold these 700.",
        "`predgen fit svamp` trains on its own training rows; Table 5's cell on math10k: data.source=math10k.",
    ),
)

SVAMP1000 = _arithmetic(
    "svamp1000",
    "the authors' whole challenge set, for testing",
    _SVAMP,
    _SVAMP_SAMPLE,
    {"test": 1000},
    aliases=("svamp-1000",),
    read=read_svamp,
    parts=_ON_MATH10K,
    leaks=Leaks(remark="holds all 700 rows of svamp/train: of no use where those were trained on"),
    licence="MIT",
    notes=("What Table 5's SVAMP cells are tested on. It holds svamp/train: only for training on the real math10k.",),
)

ARITHMETIC = (MATH10K, MULTIARITH, GSM8K, ADDSUB, SINGLEEQ, SVAMP, SVAMP1000)
