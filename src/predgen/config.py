"""Settings of a run: frozen dataclasses, one to one with YAML (`predgen.config_reading`).

`RunConfig` is the whole of it. Each field's comment is its documentation, and its default is what a run uses when
nothing is said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from predgen.data.targets import label_of

_STRICT = ConfigDict(extra="forbid")

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Size = Annotated[float, Field(gt=0.0)]  # a share of the rows where at most 1, a number of rows above

Task = Literal["classification", "regression"]
TaskSetting = Literal["auto", "classification", "regression", "multilabel", "record"]
AnswerKind = Literal["single", "record", "multilabel"]
Pooling = Literal["first", "last", "mean", "attention"]
AnswerPooling = Literal["mean", "last", "attention"]
SamplingMode = Literal["token", "sequence", "parallel", "batch"]
ScheduleName = Literal["linear", "constant", "inverse_sigmoid", "exponential"]
OwnTokens = Literal["greedy", "sample", "free"]
DirectorKind = Literal[
    "class", "vocabulary", "value", "ordered", "ordered_released", "expected", "crps", "ntloss", "states", "released"
]
DirectorError = Literal["squared", "absolute", "huber"]
Normalise = Literal["vocabulary", "space"]
WriterStart = Literal["base", "probe"]
Finish = Literal["trained", "probe"]
DirectorHistory = Literal["any", "own"]
DirectorReads = Literal["answer", "prompt_and_answer"]
Precision = Literal["fp32", "bf16", "fp16"]
LearningRateSchedule = Literal["cosine", "linear", "constant"]
LongText = Literal["head", "tail", "head-tail", "windows"]
# YAML 1.1 reads on and off as true and false.
Switch = Annotated[
    Literal["auto", "on", "off"],
    BeforeValidator(lambda value: ("off", "on")[value] if isinstance(value, bool) else value),
]
Scoring = Literal["tree", "paths"]
# YAML reads the keys of {0: no, 1: yes} as numbers, and true as a truth value; a column may say either.
LabelNames = Annotated[
    dict[str, str],
    BeforeValidator(
        lambda value: {label_of(key): name for key, name in value.items()} if isinstance(value, Mapping) else value
    ),
]


def _named(label: object) -> object:
    """A label that YAML read as a number, as the text that a column's numbers are read as."""
    return label_of(label) if isinstance(label, int | float) and not isinstance(label, bool) else label


Labels = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: [_named(each) for each in value] if isinstance(value, list | tuple) else value),
]
ClassWeights = Annotated[
    dict[str, NonNegative],
    BeforeValidator(
        lambda value: {_named(key): each for key, each in value.items()} if isinstance(value, Mapping) else value
    ),
]


@dataclass(frozen=True, config=_STRICT)
class DataConfig:
    """Which rows, and what in them is read and predicted."""

    # a csv, tsv, jsonl or parquet file, a saved dataset, or a name that `predgen data` or `predgen tasks` lists
    source: str | None = None
    root: str | None = None  # a folder of data that tasks are read from; None: as PREDGEN_DATA names it
    text: str | None = None  # the text column; found from the columns when neither it nor a template is given
    weight: str | None = None  # a column of non-negative numbers: what each training row's loss counts
    template: str | None = None  # a prompt over several columns, e.g. "Headline: {a}\nEdited: {b}"
    # the column to predict, found from the columns when not given; several are predicted together, as a record
    target: str | tuple[str, ...] | None = None
    # what the target column says → the label that is written, e.g. {0: negative, 1: positive}
    label_names: LabelNames | None = None
    # the columns with a row's own options, or one that holds a list of them; read where space.style asks for them
    options: str | tuple[str, ...] | None = None
    separator: str | None = None  # multi-label: what stands between the labels of a text; lists need none
    dev: str | None = None  # rows to select the checkpoint and decision on; else a part of `source`
    eval: str | None = None  # rows to report on, never to select on; else a part of `source`
    max_rows: Positive | None = None  # a seeded sample of `source`, before it is split
    dev_max_rows: Positive | None = None  # likewise of `dev`
    eval_max_rows: Positive | None = None  # likewise of `eval`
    train_size: Size | None = None  # a share (≤ 1) or a number of rows; None: what dev and test leave
    dev_size: NonNegative = 0.1  # as train_size; not 0 unless `dev` is named
    test_size: NonNegative = 0.1  # as train_size; 0 reports nothing
    split_seed: int = 0  # the split does not follow train.seed, so that seeds are compared on the same rows


@dataclass(frozen=True, config=_STRICT)
class PromptConfig:
    """What surrounds the row's text."""

    cue: str = "\nAnswer:"  # ends every prompt; the answer follows after one space
    max_tokens: Positive | None = None  # of a prompt, cue included; None: the model's context
    # what is kept of a longer text, aloud: its head, its tail, half of each, or all of it in windows, whose answers'
    # probabilities are averaged
    long: LongText = "head"
    chat: Switch = "off"  # body and cue as a user's message in the model's chat template; auto: where it has one


@dataclass(frozen=True, config=_STRICT)
class SpaceConfig:
    """The answers that can be predicted; what is None is inferred from the targets."""

    labels: Labels | None = None  # classification: the labels, in order
    ordered: bool = False  # classification: their order means something, as that of grades does
    # what is written in the place of a label: itself, or (generator only) the row's own option: by its probability
    # ("texts"), or by its log-probability a token ("continuations")
    style: Literal["labels", "texts", "continuations"] = "labels"
    # regression: "grid" lists every number, and gives each its probability; "free" writes any number, digit by digit,
    # where there are too many; auto: a grid where it fits, free where it does not and for worked solutions
    kind: Literal["auto", "grid", "free"] = "auto"
    low: float | None = None  # grid: the smallest number
    high: float | None = None  # grid: the largest number
    decimals: Annotated[int, Field(ge=0, le=9)] | None = None  # grid, free: digits after the point
    # linear: a grid in equal steps; log: with as many significant digits everywhere, for numbers of all magnitudes
    scale: Literal["linear", "log"] = "linear"
    digits: Annotated[int, Field(ge=1, le=15)] | None = (
        None  # free: most digits before the point; log: significant ones
    )
    smallest: Size | None = None  # log: the smallest magnitude besides 0
    strict: bool = False  # refuse targets between the numbers that can be written, instead of rounding them aloud
    marker: str = "####"  # free: what stands between a worked solution and its number in the target column
    solution_tokens: Positive | None = None  # free: the longest solution that may be written; None: as long as seen


@dataclass(frozen=True, config=_STRICT)
class FieldConfig:
    """One field of a record; what is not said is inferred, as it is for a single target."""

    task: Literal["auto", "classification", "regression"] = "auto"
    space: SpaceConfig = dataclasses.field(default_factory=SpaceConfig)
    director: DirectorKind | None = None  # None: as director.kind says


@dataclass(frozen=True, config=_STRICT)
class SearchConfig:
    """Answers too many to score one and all; of their trie, inner nodes are what the model has to read."""

    exact_nodes: Positive = 2048  # up to so many, every answer is scored; beyond, the likeliest are searched for
    beam_nodes: Positive = 512  # most prefixes that a search opens a row
    # how much of the probability a search may leave in prefixes that it has not opened; it widens until then
    uncovered: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.001


@dataclass(frozen=True, config=_STRICT)
class ModelConfig:
    """The base language model."""

    name: str = "smollm2-135m"  # a name that `predgen models` lists, a hub id, or a local path
    revision: str | None = None  # of a hub id


@dataclass(frozen=True, config=_STRICT)
class AdaLoraConfig:
    """What AdaLoRA alone reads; shares are of all optimizer steps."""

    init_rank: Positive | None = None  # before ranks are taken away; None: half as much again as peft.rank
    warmup: Share = 0.1  # no rank is taken away yet
    cooldown: Share = 0.3  # none is taken away any more
    every: Positive = 1  # steps from one allocation to the next
    orthogonality: NonNegative = 0.5  # weight of the term that keeps P and Q orthogonal
    beta1: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.85  # smooths the importance
    beta2: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.85  # smooths its uncertainty


@dataclass(frozen=True, config=_STRICT)
class RocoftConfig:
    """What RoCoFT alone reads."""

    axis: Literal["rows", "columns"] = "rows"  # of each target's weight
    count: Positive | None = None  # how many, the first ones; None: peft.rank
    chosen: tuple[Annotated[int, Field(ge=0)], ...] = ()  # these instead of the first
    train_bias: bool = False  # the targets' biases too, as the authors' runs have it
    train_norms: bool = False  # the weights and biases of all normalisations too, likewise


@dataclass(frozen=True, config=_STRICT)
class MeloraConfig:
    """What MELoRA alone reads."""

    minis: Positive = 2  # small LoRAs of rank peft.rank / minis, each on its own part of input and output


@dataclass(frozen=True, config=_STRICT)
class MosloraConfig:
    """What MoSLoRA alone reads."""

    mixer: Literal["kaiming", "orthogonal", "identity"] = "kaiming"  # what it starts as


@dataclass(frozen=True, config=_STRICT)
class PropulsionConfig:
    """What Propulsion alone reads."""

    degree: Positive = 15  # each output is scaled by z to this power; a step of z is magnified by it


@dataclass(frozen=True, config=_STRICT)
class PissaConfig:
    """What PiSSA alone reads."""

    iterations: Positive | None = None  # of a fast, approximate decomposition; None: the exact one


@dataclass(frozen=True, config=_STRICT)
class Ia3Config:
    """What (IA)³ alone reads."""

    # targets whose input is scaled, and not their output; None: those that peft knows for the architecture
    feedforward: str | tuple[str, ...] | None = None


@dataclass(frozen=True, config=_STRICT)
class VeraConfig:
    """What VeRA alone reads."""

    start: Annotated[float, Field(gt=0.0)] = 0.1  # of the vector d
    seed: int = 0  # of the two matrices that all layers share


@dataclass(frozen=True, config=_STRICT)
class PromptTuningConfig:
    """What prompt tuning alone reads."""

    tokens: Positive = 20  # virtual ones, in front of every prompt
    start: Literal["vocabulary", "random"] = "vocabulary"  # as embeddings of tokens drawn at random, or as noise


@dataclass(frozen=True, config=_STRICT)
class QloraConfig:
    """What QLoRA alone reads."""

    kind: Literal["nf4", "fp4"] = "nf4"  # of the base's four-bit numbers
    double: bool = True  # whether their scales are held in fewer bits too


@dataclass(frozen=True, config=_STRICT)
class PeftConfig:
    """How the writer is adapted."""

    method: str = "lora"  # a name in `predgen.peft_methods.METHODS`
    rank: Positive = 8
    alpha: Annotated[float, Field(gt=0.0)] = 16.0
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"  # as in peft: names, a pattern, or "all-linear"
    adalora: AdaLoraConfig = dataclasses.field(default_factory=AdaLoraConfig)
    rocoft: RocoftConfig = dataclasses.field(default_factory=RocoftConfig)
    melora: MeloraConfig = dataclasses.field(default_factory=MeloraConfig)
    moslora: MosloraConfig = dataclasses.field(default_factory=MosloraConfig)
    propulsion: PropulsionConfig = dataclasses.field(default_factory=PropulsionConfig)
    pissa: PissaConfig = dataclasses.field(default_factory=PissaConfig)
    ia3: Ia3Config = dataclasses.field(default_factory=Ia3Config)
    vera: VeraConfig = dataclasses.field(default_factory=VeraConfig)
    prompt_tuning: PromptTuningConfig = dataclasses.field(default_factory=PromptTuningConfig)
    qlora: QloraConfig = dataclasses.field(default_factory=QloraConfig)


@dataclass(frozen=True, config=_STRICT)
class WriterConfig:
    """The writer's loss and probabilities."""

    # "space": next-token probabilities among the tokens that the answer space allows, in training and scoring alike;
    # "vocabulary": among all; None: space where the answers are listed, and nothing else asks for the whole vocabulary
    normalise: Normalise | None = None
    loss_over: Literal["answer", "all"] = "answer"  # "all": prompt tokens too, as the released code has it
    # "probe": output weights of the answers' tokens are fitted to the base's states before training; "base": they are
    # the base's; None: probe for numbers that go in one pass, of a generator or a director that scores them (expected,
    # crps)
    start: WriterStart | None = None
    # "probe": after training the same weights are fitted to the trained writer's states, and kept if dev rows agree;
    # "trained": they stay as they are
    finish: Finish = "trained"


@dataclass(frozen=True, config=_STRICT)
class SamplingConfig:
    """Scheduled sampling: the share of the history that is the model's own grows from `start` to `end`."""

    mode: SamplingMode = "token"  # one coin a token, a row, or a batch; "parallel": a token, all predicted at once
    schedule: ScheduleName = "linear"
    own: OwnTokens = "greedy"  # in the space; "sample" draws in the space; "free": greedy over the whole vocabulary
    start: Share = 0.0
    end: Share = 1.0
    steps: Size = 0.5  # optimizer steps until `end` is reached: a share of all steps where at most 1, else a number


@dataclass(frozen=True, config=_STRICT)
class DirectorConfig:
    """The task adapter that reads what the writer wrote."""

    # classes: class, vocabulary; numbers: value, ordered, ordered_released, expected, crps, ntloss; what suits the task
    # of class and value: states, of vocabulary and ordered_released: released; None: class, expected of up to 2048
    # numbers, else value
    kind: DirectorKind | None = None
    pooling: AnswerPooling = "mean"  # of the answer's states, for class and value
    # whose states: "prompt_and_answer" reads the prompt's too, by pooling=attention that starts where the answer begins
    reads: DirectorReads = "answer"
    error: DirectorError = "squared"  # of value and expected, in standard deviations of the target
    history: DirectorHistory = "any"  # which rows teach it: all, or those whose whole history is the model's own


@dataclass(frozen=True, config=_STRICT)
class PredictorConfig:
    """The pooled head of the Predictor baseline."""

    pooling: Pooling = "last"
    # "probe": after training the head is fitted to the trained states, and kept if dev rows agree; "trained": it stays
    finish: Finish = "trained"


@dataclass(frozen=True, config=_STRICT)
class TrainConfig:
    """Optimisation, evaluation during training, and seeds."""

    epochs: Annotated[float, Field(gt=0.0)] = 3.0
    max_steps: Positive | None = None  # optimizer steps; overrides epochs
    batch_size: Positive = 16  # rows of one forward pass
    accumulate: Positive = 1  # forward passes of one optimizer step
    eval_batch_size: Positive = 32
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    weight_decay: NonNegative = 0.0
    schedule: LearningRateSchedule = "cosine"  # of the learning rate, once it has risen
    # optimizer steps in which the learning rate rises: a share of all steps where at most 1, else a number
    warmup: NonNegative = 0.05
    clip: Annotated[float, Field(gt=0.0)] = 1.0  # norm of the gradient
    evaluations: Positive = 4  # how often, evenly spread over the run, dev is scored and a checkpoint kept
    precision: Precision = "fp32"  # of the base's weights and the passes; what learns stays in float32
    gradient_checkpointing: bool = False  # less memory: activations are computed again in the backward pass
    # none, balanced (every class counts the same in all), or a weight a label: {spam: 3, ham: 1}
    class_weights: Literal["none", "balanced"] | ClassWeights = "none"
    on_nonfinite: Literal["stop", "skip"] = "stop"  # what a loss or gradient of NaN or infinity does to the run
    report_to: tuple[str, ...] = ()  # trackers of transformers' Trainer, e.g. tensorboard
    time_budget: str | None = None  # e.g. 30m or 1h30m: fewer steps where more would take longer
    patience: Positive | None = None  # stop after so many evaluations without a better dev metric
    # the dev metric that selects checkpoint and decision; None: accuracy, mae, exact_match (free numbers), skill
    # (records), micro_f1 (multi-label)
    metric: str | None = None
    calibrate: Switch = (
        "auto"  # temperatures, and writer and director mixed, by the dev rows; auto: where they are enough
    )
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class RunConfig:
    """All settings of one run."""

    task: TaskSetting = "auto"
    method: str = "predgen"  # predictor, generator or predgen
    # how writer and director loss join; a name in `predgen.model.losses.JOINT_LOSSES`; None: sum of a director that
    # scores the posterior (expected, crps), wdal_released of others
    loss: str | None = None
    loss_of: Literal["rows", "batch"] = "rows"  # joined row by row, or on means of a micro-batch, as released
    profile: str | None = None  # a bundle of settings under all others; a name in `predgen.profiles.PROFILES`
    out: str | None = None  # the run folder; None: runs/<source>-<method>
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    prompt: PromptConfig = dataclasses.field(default_factory=PromptConfig)
    space: SpaceConfig = dataclasses.field(default_factory=SpaceConfig)
    fields: dict[str, FieldConfig] = dataclasses.field(default_factory=dict)  # of a record, by the target's name
    search: SearchConfig = dataclasses.field(default_factory=SearchConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    peft: PeftConfig = dataclasses.field(default_factory=PeftConfig)
    writer: WriterConfig = dataclasses.field(default_factory=WriterConfig)
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
    director: DirectorConfig = dataclasses.field(default_factory=DirectorConfig)
    predictor: PredictorConfig = dataclasses.field(default_factory=PredictorConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    def of_field(self, name: str) -> RunConfig:
        """The settings as one field of a record has them."""
        own = self.fields.get(name, FieldConfig())
        director = dataclasses.replace(self.director, kind=own.director or self.director.kind)
        return dataclasses.replace(self, space=own.space, director=director)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries, ready for YAML or JSON."""
        plain: dict[str, Any] = TypeAdapter(RunConfig).dump_python(self, mode="json")
        return plain

    def to_yaml(self) -> str:
        """The resolved settings as YAML, in the order of the fields."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=110)
