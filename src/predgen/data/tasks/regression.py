"""The six sets of Table 2: numbers read off a text."""

from __future__ import annotations

from predgen.data.table import Row
from predgen.data.tasks import presets
from predgen.data.tasks.task import HubCopy, Leaks, Task


def _numbers(low: float, high: float, decimals: int) -> dict[str, object]:
    return {"kind": "grid", "low": low, "high": high, "decimals": decimals}


def _stsb(row: Row) -> Row:
    return {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "score": row["similarity_score"]}


def _sick(row: Row) -> Row:
    return {
        "pair_ID": row["id"],
        "sentence_A": row["sentence_A"],
        "sentence_B": row["sentence_B"],
        "relatedness_score": row["relatedness_score"],
    }


def _humicroedit(row: Row) -> Row:
    return {name: row[name] for name in ("id", "original", "edit", "grades", "meanGrade")}


STSB = Task(
    name="stsb",
    aliases=("sts-b", "stsbenchmark"),
    title="how alike two sentences are, 0 to 5",
    kind="regression",
    columns=("sentence1", "sentence2", "score"),
    template="Sentence 1: {sentence1}\nSentence 2: {sentence2}",
    cue="\nSimilarity:",
    target="score",
    metric="pearson",
    metrics=("pearson", "spearman", "mse", "mae"),
    scorer="https://huggingface.co/spaces/evaluate-metric/glue",
    rows={"train": 5749, "validation": 1500, "test": 1379},
    reported="test",
    dev="validation",
    sample={"sentence1": "A dog runs over a field.", "sentence2": "A dog is running in the grass.", "score": 4.2},
    space=_numbers(0, 5, 1),
    space_reason="the scale is 0 to 5; nine in ten scores have at most one decimal, and the rest are at most 0.05 off",
    hub=HubCopy("PhilipMay/stsb_multi_mt", "en", None, {"train": "train", "validation": "dev", "test": "test"}, _stsb),
    leaks=Leaks(validation=6, test=7, within_train=44),
    preset=presets.STSB,
    licence="scores CC BY-SA 4.0; each text under its own source's terms",
    notes=("GLUE hides the test labels; the benchmark's own release, which is read here, has them.",),
)

SICK = Task(
    name="sick",
    aliases=("sick-r", "sick2014"),
    title="how related two sentences are, 1 to 5",
    kind="regression",
    columns=("sentence_A", "sentence_B", "relatedness_score"),
    template="Sentence 1: {sentence_A}\nSentence 2: {sentence_B}",
    cue="\nRelatedness:",
    target="relatedness_score",
    metric="pearson",
    metrics=("pearson", "spearman", "mse", "mae"),
    scorer="https://aclanthology.org/S14-2001/",
    rows={"train": 4500, "validation": 500, "test": 4927},
    reported="test",
    dev="validation",
    sample={
        "pair_ID": 1,
        "sentence_A": "Two girls are sitting on a bench",
        "sentence_B": "Two girls are on a bench and talk",
        "relatedness_score": 4.1,
        "entailment_judgment": "NEUTRAL",
    },
    space=_numbers(1, 5, 1),
    space_reason="the scale is 1 to 5; 97 scores in 100 have at most one decimal, and the rest are at most 0.05 off",
    hub=HubCopy(
        "RobZamp/sick",
        None,
        "refs/convert/parquet",
        {"train": "train", "validation": "validation", "test": "test"},
        _sick,
    ),
    leaks=Leaks(validation=3, test=49, within_train=30),
    preset=presets.SICK,
    licence="CC BY-NC-SA 3.0",
    notes=("The official split of SemEval-2014; validation is its trial part.",),
)

LCP = Task(
    name="lcp",
    aliases=("lcp-single", "complex-single"),
    title="how hard a word is in its sentence, 0 to 1",
    kind="regression",
    columns=("sentence", "token", "complexity"),
    template="Sentence: {sentence}\nWord: {token}",
    cue="\nComplexity:",
    target="complexity",
    metric="pearson",
    metrics=("pearson", "spearman", "mae", "mse", "r2"),
    scorer="https://aclanthology.org/2021.semeval-1.1/",
    rows={"train": 7662, "validation": 421, "test": 917},
    reported="test",
    dev="validation",
    sample={
        "id": "1",
        "corpus": "europarl",
        "sentence": "The committee will examine the proposal on the subsidiarity of such measures.",
        "token": "subsidiarity",
        "complexity": 0.61,
    },
    space=_numbers(0, 1, 2),
    space_reason="means of grades on five points, laid on 0 to 1; two decimals are at most 0.005 off, a tenth of good "
    "systems' mean error",
    leaks=Leaks(validation=0, test=1, within_train=7, remark="154 test sentences occur in train with some token"),
    preset=presets.LCP,
    licence="CC BY 4.0",
    notes=("Single words of SemEval-2021 task 1, subtask 1; validation is its trial part.",),
)

CLEAR = Task(
    name="clear",
    aliases=("crp", "commonlit"),
    title="how easy an excerpt is to read, about −4 to 2",
    kind="regression",
    columns=("Excerpt", "BT_easiness"),
    template="Excerpt: {Excerpt}",
    cue="\nEase of reading:",
    target="BT_easiness",
    metric="rmse",
    metrics=("rmse", "mse", "mae", "pearson"),
    scorer="https://www.kaggle.com/competitions/commonlitreadabilityprize/overview/evaluation",
    rows={"train": 2834, "test": 1890},
    reported="test",
    dev=None,
    sample={
        "ID": 1,
        "Title": "The Mill",
        "Excerpt": "The mill stood by the river. Every morning the miller opened the gate and the wheel turned.",
        "BT_easiness": 0.35,
        "s.e.": 0.5,
    },
    space=_numbers(-4, 2, 1),
    space_reason="scores run from −3.68 to 1.71, each with a standard error of about 0.5: one decimal is finer",
    leaks=Leaks(test=0, within_train=0),
    preset=presets.CLEAR,
    licence="CC BY-NC-SA 4.0; excerpts under their own",
    notes=(
        "The release names no split: train is the Kaggle competition's training set, test the other excerpts.",
        "The paper's Table 2 calls this column CRP, its Table 3 CLEAR.",
    ),
)

HUMICROEDIT = Task(
    name="humicroedit",
    aliases=("semeval2020-task7",),
    title="how funny an edited headline is, 0 to 3",
    kind="regression",
    columns=("original", "edit", "meanGrade"),
    template="Headline: {original}\nThe marked word becomes: {edit}",
    cue="\nFunniness:",
    target="meanGrade",
    metric="rmse",
    metrics=("rmse", "mse", "mae", "r2", "pearson"),
    scorer="https://github.com/n-hossain/semeval-2020-task-7-humicroedit",
    rows={"train": 9652, "validation": 2419, "test": 3024},
    reported="test",
    dev="validation",
    sample={
        "id": "1",
        "original": "Mayor opens new <bridge/> after ten years of work",
        "edit": "jar",
        "grades": "21110",
        "meanGrade": 1.0,
    },
    space=_numbers(0, 3, 1),
    space_reason="means of five grades from 0 to 3, so in steps of 0.2",
    hub=HubCopy(
        "community-datasets/humicroedit",
        "subtask-1",
        None,
        {"train": "train", "validation": "validation", "test": "test"},
        _humicroedit,
    ),
    leaks=Leaks(validation=0, test=0, within_train=27),
    preset=presets.HUMICROEDIT,
    licence="not stated",
    notes=("Subtask 1 of SemEval-2020 task 7, without the FunLines extra.",),
)

WASSA = Task(
    name="wassa",
    aliases=("emoint", "wassa2017"),
    title="how strongly a tweet shows an emotion, 0 to 1",
    kind="regression",
    columns=("tweet", "emotion", "intensity"),
    template="Tweet: {tweet}\nEmotion: {emotion}",
    cue="\nIntensity:",
    target="intensity",
    metric="pearson",
    metrics=("pearson", "spearman", "mae", "mse"),
    scorer="https://github.com/felipebravom/EmoInt",
    rows={"train": 3613, "validation": 347, "test": 3142},
    reported="test",
    dev="validation",
    sample={
        "id": 1,
        "tweet": "The bus left early again and I am standing in the rain",
        "emotion": "anger",
        "intensity": 0.6,
    },
    space=_numbers(0, 1, 2),
    space_reason="the scale is 0 to 1; the data has three decimals, two are at most 0.005 off, a tenth of a good "
    "system's mean error",
    leaks=Leaks(
        validation=8,
        test=91,
        within_train=48,
        remark="of the tweet alone; no test row has tweet and emotion of a training row",
    ),
    preset=presets.WASSA,
    licence="not stated",
    notes=("The shared task ranks by the mean of Pearson's r over the four emotions; a run reports it over all rows.",),
)

REGRESSION = (WASSA, SICK, STSB, LCP, CLEAR, HUMICROEDIT)
