"""BoolQ (Table 1) and SST-2: one of two words, the same two for every row."""

from __future__ import annotations

from predgen.data.table import Row
from predgen.data.tasks import presets
from predgen.data.tasks.task import HubCopy, Leaks, PackageCopy, Task, package_files


def _boolq(row: Row) -> Row:
    """Title, passage and question out of one text, as the package joins them."""
    text, _, asked = row["query"].rpartition("\nQuestion: ")
    title, _, passage = text.partition(" -- ")
    question = asked.removesuffix("\nAnswer:").removesuffix("?")
    return {"question": question, "title": title, "passage": passage, "answer": row["choices"][row["gold"]] == "yes"}


BOOLQ = Task(
    name="boolq",
    aliases=("boolean-questions",),
    title="yes or no, by a passage of an encyclopedia",
    kind="classification",
    columns=("question", "passage", "answer"),
    template="Passage: {passage}\nQuestion: {question}?",
    cue="\nAnswer:",
    target="answer",
    metric="accuracy",
    metrics=("accuracy",),
    scorer="https://github.com/google-research-datasets/boolean-questions",
    rows={"train": 9427, "validation": 3270},
    reported="validation",
    dev=None,
    sample={
        "question": "is the old mill open in winter",
        "title": "Old Mill",
        "passage": "The Old Mill is a museum by the river. It is open from April to October.",
        "answer": False,
    },
    labels={"true": "yes", "false": "no"},
    space={"labels": ["no", "yes"]},
    space_reason="the rows say true and false; yes and no are what a reader would write",
    hub=HubCopy("google/boolq", None, None, {"train": "train", "validation": "validation"}, dict, "without titles"),
    package=PackageCopy(package_files("boolq", test=False), _boolq),
    leaks=Leaks(validation=0, within_train=0),
    preset=presets.CHOICE,
    licence="CC BY-SA 3.0",
    notes=("Test labels are not public: validation is reported, as LLM-Adapters and the papers after it do.",),
)

SST2 = Task(
    name="sst2",
    aliases=("sst-2",),
    title="whether a film review is positive",
    kind="classification",
    columns=("sentence", "label"),
    template="Review: {sentence}",
    cue="\nSentiment:",
    target="label",
    metric="accuracy",
    metrics=("accuracy",),
    scorer="https://huggingface.co/spaces/evaluate-metric/glue",
    rows={"train": 67349, "validation": 872, "test": 1821},
    reported="validation",
    dev=None,
    sample={"sentence": "a slow start , but the last hour is a joy", "label": 1},
    labels={"0": "negative", "1": "positive"},
    space={"labels": ["negative", "positive"]},
    space_reason="the rows say 0 and 1; words say more to a language model",
    hub=HubCopy(
        "nyu-mll/glue",
        "sst2",
        None,
        {"train": "train", "validation": "validation"},
        dict,
        "test labels are hidden there",
    ),
    leaks=Leaks(validation=0, test=1, within_train=371),
    licence="not stated",
    notes=(
        "GLUE's training set holds phrases as well as sentences, and so do the dev rows that are taken from it.",
        "Validation is reported, as nearly all published figures are: GLUE's test labels are hidden. sst2/test is the "
        "labelled test set of the Stanford treebank, which writes brackets as -lrb- and -rrb-.",
        "Not in the paper's tables; its Fig. 3 and the authors' own small runs use it. Table 3 has no row for it.",
    ),
)

CLASSIFICATION = (BOOLQ, SST2)
