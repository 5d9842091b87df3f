"""The paper's tables and ablations: which tasks, models, PEFT methods and variants each of them crosses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from predgen.errors import ConfigError, nearest

LLAMAS = ("llama2-7b", "llama2-13b", "llama3-8b")
FIRST_PEFT = ("lora", "adalora", "rocoft", "dora")


@dataclass(frozen=True)
class Column:
    """What a table shows of one set of rows.

    Args:
        task: Whose rows are scored.
        trained_on: The task that is trained on; the same but for arithmetic.
        metrics: Shown, the first of them judged.
        in_paper: Whether the paper's table has it.
    """

    task: str
    trained_on: str
    metrics: tuple[str, ...]
    in_paper: bool = True


@dataclass(frozen=True)
class Variant:
    """One value of what an ablation changes.

    Args:
        name: In cells and tables; "" for what a method does by default.
        settings: Over the method's.
        share: Of all optimizer steps, of a variant that is a number of steps; it becomes ``sampling.steps``.
        title: In the tables.
    """

    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    share: float | None = None
    title: str = ""


@dataclass(frozen=True)
class Experiment:
    """A table or ablation.

    Args:
        name: What `predgen reproduce` takes.
        title: What it shows.
        columns: In order.
        models: The paper's, by their names here.
        peft: The paper's.
        methods: Where an ablation has its own; None: the scale's.
        variants: What is changed.
        paper_variants: The same at the scale ``paper``, where the paper's own values are known.
        average: Whether the paper prints a row's average.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    models: tuple[str, ...]
    peft: tuple[str, ...]
    methods: tuple[str, ...] | None = None
    variants: tuple[Variant, ...] = (Variant(),)
    paper_variants: tuple[Variant, ...] | None = None
    average: bool = False

    def tasks(self) -> tuple[str, ...]:
        """The tasks that are trained on, in order."""
        return tuple(dict.fromkeys(column.trained_on for column in self.columns))


def _columns(metrics: tuple[str, ...], *tasks: str, in_paper: bool = True) -> tuple[Column, ...]:
    return tuple(Column(task, task, metrics, in_paper) for task in tasks)


_CHOICES = ("boolq", "piqa", "siqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "obqa")
_NUMBERS = ("wassa", "sick", "stsb", "lcp", "clear", "humicroedit")
_ARITHMETIC = ("multiarith", "gsm8k", "addsub", "singleeq", "svamp")
_OF_NUMBERS = ("mae", "mse", "pearson")


def _losses() -> tuple[Variant, ...]:
    others = {
        "wdal": "WDAL as printed",
        "product": "product",
        "adaptive": "adaptive",
        "director_only": "director alone",
        "sum": "sum",
    }
    default = Variant(title="WDAL as released (default)")
    return (default, *(Variant(f"loss-{name}", {"loss": name}, title=title) for name, title in others.items()))


def _modes() -> tuple[Variant, ...]:
    others = {"sequence": "sequence", "parallel": "parallel", "batch": "micro-batch"}
    default = Variant(title="token (default)")
    return (
        default,
        *(Variant(f"mode-{name}", {"sampling": {"mode": name}}, title=title) for name, title in others.items()),
    )


# A half of all steps is the default, and the paper's best: 1000 of the some 1860 that it takes on math10k.
_SHARES = (0.03, 0.05, 0.25, 1.0, 4.0)
_PAPER_STEPS = (50, 100, 500, 1000, 7000)  # 50, 100, 1000 and 7000 are named in the text, 500 is in Table 3

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="table1",
            title="Table 1: accuracy on classification and multiple choice",
            columns=(*_columns(("accuracy",), *_CHOICES), *_columns(("accuracy",), "sst2", in_paper=False)),
            models=LLAMAS,
            peft=FIRST_PEFT,
            average=True,
        ),
        Experiment(
            name="table2",
            title="Table 2: errors on regression",
            columns=_columns(_OF_NUMBERS, *_NUMBERS),
            models=LLAMAS,
            peft=FIRST_PEFT,
            average=True,
        ),
        Experiment(
            name="table5",
            title="Table 5: exact match on arithmetic, trained on math10k",
            columns=tuple(Column(task, "math10k", ("exact_match",)) for task in _ARITHMETIC),
            models=("mistral-7b", "gemma2-9b", "deepseek-r1-8b"),
            peft=("melora", "lora-fa", "moslora", "propulsion"),
            average=True,
        ),
        Experiment(
            name="fig4",
            title="Fig. 4: steps until the history is the model's own",
            columns=(
                Column("multiarith", "math10k", ("exact_match",)),
                *_columns(_OF_NUMBERS, "stsb", in_paper=False),
                *_columns(("accuracy",), "sst2", in_paper=False),
            ),
            models=("llama2-7b",),
            peft=("lora",),
            methods=("predgen",),
            variants=(
                Variant(title="0.5 of all steps (default)"),
                *(Variant(f"steps-{share:g}", share=share, title=f"{share:g} of all steps") for share in _SHARES),
            ),
            paper_variants=tuple(
                Variant(f"steps-{steps}", {"sampling": {"steps": steps}}, title=f"{steps} steps")
                for steps in _PAPER_STEPS
            ),
        ),
        Experiment(
            name="fig5",
            title="Fig. 5: what one coin decides in scheduled sampling",
            columns=_columns(("mse", "mae", "pearson"), *_NUMBERS),
            models=("llama2-7b",),
            peft=("lora",),
            methods=("predgen",),
            variants=_modes(),
        ),
        Experiment(
            name="fig6",
            title="Fig. 6: losses that join writer and director",
            columns=(
                *_columns(("accuracy",), "hellaswag", "winogrande", "boolq"),  # those of six that the text names
                *_columns(("accuracy",), "piqa", "obqa", "arc_easy", "sst2", in_paper=False),
            ),
            models=("llama2-7b",),
            peft=("rocoft",),  # whose row of Table 1 has the numbers that the text gives of WDAL
            methods=("predgen",),
            variants=_losses(),
        ),
    )
}


def find_experiment(name: str) -> Experiment:
    """A table or ablation by name.

    Raises:
        ConfigError: The message lists the known.
    """
    if name not in EXPERIMENTS:
        raise ConfigError(f"There is no experiment {name!r}:", nearest(name, EXPERIMENTS))
    return EXPERIMENTS[name]
