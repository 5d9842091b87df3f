"""The other seven sets of Table 1: one of a few options, which differ from row to row.

All are answered by the letter, or the number, of an option that the prompt lists: the options stand in the context, so
that they are compared with one another, the answers are one token each, and the same for every row, so that every
method, head and director of predgen applies as it is. It is also how the paper's PIQA answers ("Solution 1", its
appendix H.1) and LLM-Adapters' are written.
"""

from __future__ import annotations

from collections.abc import Mapping

from predgen.data.table import Row
from predgen.data.tasks import presets
from predgen.data.tasks.task import HubCopy, Leaks, PackageCopy, SplitName, Task, package_files

_LETTERS = "ABCDE"
_ALL: Mapping[SplitName, str] = {"train": "train", "validation": "validation", "test": "test"}
_WITHOUT_TEST: Mapping[SplitName, str] = {"train": "train", "validation": "validation"}
_VALIDATION = "Test labels are not public: validation is reported, as LLM-Adapters and the papers after it do."
_WHOLE = "letters: whole sentences as answers would be many tokens, and longer ones less likely whatever they say"
_SHORT = "letters: as all other sets, so that one answer format is compared"


def _by_index(options: int) -> dict[str, str]:
    return {str(index): _LETTERS[index] for index in range(options)}


def _by_number(options: int) -> dict[str, str]:
    return {str(index + 1): _LETTERS[index] for index in range(options)}


def _letters(options: int) -> dict[str, object]:
    return {"labels": list(_LETTERS[:options])}


def _hub_arc(row: Row) -> Row:
    return {
        "id": row["id"],
        "question": row["question"],
        "choices": list(row["choices"]["text"]),
        "label": list(row["choices"]["label"]).index(row["answerKey"]),  # letters in most rows, digits in some
    }


def _hub_obqa(row: Row) -> Row:
    asked = {"id": row["id"], "question_stem": row["question_stem"]}
    return asked | {
        key: value for key, value in _hub_arc(row | {"question": ""}).items() if key in ("choices", "label")
    }


def _hub_hellaswag(row: Row) -> Row:
    return {
        "ind": row["ind"],
        "activity_label": row["activity_label"],
        "ctx": row["ctx"],
        "endings": list(row["endings"]),
        "label": int(row["label"]),
    }


def _package_piqa(row: Row) -> Row:
    return {name: row[name] for name in ("goal", "sol1", "sol2", "label")}


def _package_siqa(row: Row) -> Row:
    return {name: row[name] for name in ("context", "question", "answerA", "answerB", "answerC", "label")}


def _package_hellaswag(row: Row) -> Row:
    activity, _, context = row["query"].partition(": ")
    return {
        "ind": row["ind"],
        "activity_label": activity,
        "ctx": context,
        "endings": row["choices"],
        "label": row["gold"],
    }


def _package_winogrande(row: Row) -> Row:
    return {name: row[name] for name in ("sentence", "option1", "option2", "answer")}


def _asked(row: Row) -> str:
    return str(row["query"]).removeprefix("Question: ").removesuffix("\nAnswer:")


def _package_arc(row: Row) -> Row:
    return {"id": row["id"], "question": _asked(row), "choices": row["choices"], "label": row["gold"]}


def _package_obqa(row: Row) -> Row:
    return {"id": row["id"], "question_stem": _asked(row), "choices": row["choices"], "label": row["gold"]}


PIQA = Task(
    name="piqa",
    aliases=("physical-iqa",),
    title="which of two ways to do a thing works",
    kind="multiple choice",
    columns=("goal", "sol1", "sol2", "label"),
    template="Goal: {goal}\nSolution 1: {sol1}\nSolution 2: {sol2}",
    cue="\nThe right one is Solution",
    target="label",
    metric="accuracy",
    metrics=("accuracy",),
    options=("sol1", "sol2"),
    open_template="Goal: {goal}",
    open_cue="\nSolution:",
    scorer="https://yonatanbisk.com/piqa/",
    rows={"train": 16113, "validation": 1838},
    reported="validation",
    dev=None,
    sample={"goal": "Keep bread fresh.", "sol1": "Leave it in water.", "sol2": "Wrap it in a cloth.", "label": 1},
    labels={"0": "1", "1": "2"},
    space={"labels": ["1", "2"]},
    space_reason="the number of the solution",
    style="the number of the solution, as the paper's Figs. 8 and 9 have it; solutions as answers would be long",
    hub=HubCopy("ybisk/piqa", "plain_text", "refs/convert/parquet", _WITHOUT_TEST, dict),
    package=PackageCopy(package_files("piqa", test=False), _package_piqa),
    leaks=Leaks(validation=1, within_train=6),
    preset=presets.CHOICE_LONG,
    licence="AFL 3.0",
    notes=(_VALIDATION,),
)

SIQA = Task(
    name="siqa",
    aliases=("social-i-qa", "social_i_qa", "socialiqa"),
    title="what follows in a social situation, of three options",
    kind="multiple choice",
    columns=("context", "question", "answerA", "answerB", "answerC", "label"),
    template="Context: {context}\nQuestion: {question}\nA. {answerA}\nB. {answerB}\nC. {answerC}",
    cue="\nAnswer:",
    target="label",
    metric="accuracy",
    metrics=("accuracy",),
    options=("answerA", "answerB", "answerC"),
    open_template="Context: {context}\nQuestion: {question}",
    open_cue="\nAnswer:",
    scorer="https://leaderboard.allenai.org/socialiqa",
    rows={"train": 33410, "validation": 1954},
    reported="validation",
    dev=None,
    sample={
        "context": "Robin lent Sam an umbrella.",
        "question": "How would Sam feel as a result?",
        "answerA": "grateful",
        "answerB": "hungry",
        "answerC": "cheated",
        "label": "1",
    },
    labels=_by_number(3),
    space=_letters(3),
    space_reason="the letter of the option",
    style=_SHORT,
    hub=HubCopy("allenai/social_i_qa", None, "refs/convert/parquet", _WITHOUT_TEST, dict),
    package=PackageCopy(package_files("socialiqa", test=False), _package_siqa),
    leaks=Leaks(validation=0, within_train=29),
    preset=presets.CHOICE,
    licence="not stated",
    notes=(_VALIDATION,),
)

HELLASWAG = Task(
    name="hellaswag",
    aliases=("hella-swag",),
    title="how a scene goes on, of four endings",
    kind="multiple choice",
    columns=("activity_label", "ctx", "endings", "label"),
    template="{activity_label}: {ctx}\n{endings}",
    cue="\nThe right ending:",
    target="label",
    metric="accuracy",
    metrics=("accuracy",),
    options=("endings",),
    open_template="{activity_label}: {ctx}",
    open_cue="",
    scorer="https://github.com/rowanz/hellaswag",
    rows={"train": 39905, "validation": 10042},
    reported="validation",
    dev=None,
    sample={
        "ind": 1,
        "activity_label": "Baking bread",
        "ctx": "A woman kneads dough on a table. She",
        "endings": ["puts it into the oven.", "drives it to the sea.", "reads it aloud.", "paints it green."],
        "label": 0,
    },
    labels=_by_index(4),
    space=_letters(4),
    space_reason="the letter of the ending",
    style=_WHOLE,
    hub=HubCopy(
        "Rowan/hellaswag",
        None,
        "refs/convert/parquet",
        _WITHOUT_TEST,
        _hub_hellaswag,
        "with the marks ([header], [step]) that the mirror and the package have cleaned away",
    ),
    package=PackageCopy(package_files("hellaswag", test=False), _package_hellaswag),
    leaks=Leaks(validation=0, within_train=0),
    preset=presets.CHOICE_LONG,
    licence="MIT",
    notes=(_VALIDATION, "Contexts as evaluation harnesses clean them: [title] is a full stop, other marks are gone."),
)

WINOGRANDE = Task(
    name="winogrande",
    aliases=("winogrande_xl", "wino"),
    title="which of two names fills the blank",
    kind="multiple choice",
    columns=("sentence", "option1", "option2", "answer"),
    template="Sentence: {sentence}\nA. {option1}\nB. {option2}",
    cue="\nThe blank _ is:",
    target="answer",
    metric="accuracy",
    metrics=("accuracy",),
    options=("option1", "option2"),
    open_template="Sentence: {sentence}",
    open_cue="\nThe blank _ is:",
    scorer="https://github.com/allenai/winogrande",
    rows={"train": 40398, "validation": 1267},
    reported="validation",
    dev=None,
    sample={
        "sentence": "The cup did not fit into the box because the _ was too small.",
        "option1": "cup",
        "option2": "box",
        "answer": "2",
    },
    labels=_by_number(2),
    space=_letters(2),
    space_reason="the letter of the option",
    style=_SHORT,
    hub=HubCopy("allenai/winogrande", "winogrande_xl", "refs/convert/parquet", _WITHOUT_TEST, dict),
    package=PackageCopy(package_files("winogrande", test=False), _package_winogrande),
    leaks=Leaks(validation=0, within_train=4),
    preset=presets.CHOICE_LONG,
    licence="CC BY",
    notes=(_VALIDATION, "winogrande_xl; LLM-Adapters trains on it together with its own smaller parts."),
)


def _arc(name: str, alias: tuple[str, ...], title: str, hub: str, rows: tuple[int, int, int], leaks: Leaks) -> Task:
    return Task(
        name=name,
        aliases=alias,
        title=title,
        kind="multiple choice",
        columns=("question", "choices", "label"),
        template="Question: {question}\n{choices}",
        cue="\nAnswer:",
        target="label",
        metric="accuracy",
        metrics=("accuracy",),
        options=("choices",),
        open_template="Question: {question}",
        open_cue="\nAnswer:",
        scorer=f"https://leaderboard.allenai.org/{'arc_easy' if name == 'arc_easy' else 'arc'}",
        rows=dict(zip(_ALL, rows, strict=True)),
        reported="test",
        dev="validation",
        sample={
            "id": "1",
            "question": "Which of these gives light of its own?",
            "choices": ["a mirror", "a candle", "the moon", "a window"],
            "label": 1,
        },
        labels=_by_index(5),
        space=_letters(5),
        space_reason="the letter of the option; nearly all rows have four, a few three or five",
        style=_WHOLE,
        hub=HubCopy("allenai/ai2_arc", hub, None, _ALL, _hub_arc),
        package=PackageCopy(package_files(name), _package_arc),
        leaks=leaks,
        preset=presets.CHOICE,
        licence="CC BY-SA 4.0",
    )


ARC_EASY = _arc(
    "arc_easy",
    ("arc-e", "arc_e", "arc-easy"),
    "school science, easy",
    "ARC-Easy",
    (2251, 570, 2376),
    Leaks(validation=1, test=7, within_train=6),
)
ARC_CHALLENGE = _arc(
    "arc_challenge",
    ("arc-c", "arc_c", "arc-challenge"),
    "school science, hard",
    "ARC-Challenge",
    (1119, 299, 1172),
    Leaks(validation=0, test=7, within_train=1),
)

OBQA = Task(
    name="obqa",
    aliases=("openbookqa", "open-book-qa"),
    title="elementary science, without the book",
    kind="multiple choice",
    columns=("question_stem", "choices", "label"),
    template="Question: {question_stem}\n{choices}",
    cue="\nAnswer:",
    target="label",
    metric="accuracy",
    metrics=("accuracy",),
    options=("choices",),
    open_template="Question: {question_stem}",
    open_cue="\nAnswer:",
    scorer="https://github.com/allenai/OpenBookQA",
    rows={"train": 4957, "validation": 500, "test": 500},
    reported="test",
    dev="validation",
    sample={
        "id": "1",
        "question_stem": "A plant turns towards",
        "choices": ["the light", "a stone", "the past", "music"],
        "label": 0,
    },
    labels=_by_index(4),
    space=_letters(4),
    space_reason="the letter of the option",
    style=_SHORT,
    hub=HubCopy("allenai/openbookqa", "main", None, _ALL, _hub_obqa),
    package=PackageCopy(package_files("openbookqa"), _package_obqa),
    leaks=Leaks(validation=0, test=0, within_train=5),
    preset=presets.CHOICE_LONG,
    licence="not stated",
    notes=("Without the book of facts, as LLM-Adapters has it.",),
)

MULTIPLE_CHOICE = (PIQA, SIQA, HELLASWAG, WINOGRANDE, ARC_EASY, ARC_CHALLENGE, OBQA)
