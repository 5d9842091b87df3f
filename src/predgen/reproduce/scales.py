"""How large the grid's runs are: from seconds on a random model to the paper's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from predgen.errors import ConfigError, nearest
from predgen.reproduce.models import TINY

ScaleName = Literal["smoke", "cpu", "gpu", "paper"]


@dataclass(frozen=True)
class Scale:
    """What all cells of one scale have in common.

    Args:
        name: What ``--scale`` takes.
        title: In the tables.
        models: Where ``--models`` is not given; empty: the table's own.
        peft: Where ``--peft`` is not given; empty: the table's own.
        seeds: Where ``--seeds`` is not given.
        rates: The learning rates that every method may try, on dev; empty: the one of Table 3. All methods have the
            same, so that none is tuned more than another.
        methods: Where ``--methods`` is not given.
        train_rows: At most so many training rows; None: all.
        dev_rows: At most so many rows to select on; None: all of the official ones, or a tenth of the training rows.
        report_rows: At most so many rows of a split that is reported, a seeded sample; None: all.
        settings: Of every run.
    """

    name: ScaleName
    title: str
    models: tuple[str, ...]
    peft: tuple[str, ...]
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    methods: tuple[str, ...]
    train_rows: int | None
    dev_rows: int | None
    report_rows: int | None
    settings: Mapping[str, Any] = field(default_factory=dict)


_COMPARED = ("predictor", "predictor-attention", "generator", "predgen")

SCALES: dict[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            name="smoke",
            title="two random layers, a few made-up rows: shows that it runs, and nothing else",
            models=(TINY,),
            peft=("lora",),
            seeds=(0,),
            rates=(0.01,),
            methods=_COMPARED,
            train_rows=16,
            dev_rows=8,
            report_rows=12,
            settings={
                "train": {"max_steps": 2, "batch_size": 8, "evaluations": 1},
                "prompt": {"max_tokens": 200},
                "peft": {"rank": 2},
                "sampling": {"steps": 0.5},
            },
        ),
        Scale(
            name="cpu",
            title="500 training rows in bfloat16, for two CPU cores",
            models=("smollm2-135m",),
            peft=("lora",),
            seeds=(0, 1),
            rates=(1e-3, 4e-4, 2.5e-3, 6e-3),
            methods=_COMPARED,
            train_rows=500,
            dev_rows=200,
            report_rows=1000,
            settings={
                # bfloat16 halves the time where the CPU has instructions for it, at no loss (docs/performance.md).
                "train": {"epochs": 2, "batch_size": 16, "evaluations": 2, "precision": "bf16"},
                "prompt": {"max_tokens": 256},
            },
        ),
        Scale(
            name="gpu",
            title="all training rows, for one GPU",
            models=("smollm2-135m",),
            peft=("lora",),
            seeds=(0, 1, 2),
            rates=(1e-3, 4e-4),
            methods=_COMPARED,
            train_rows=None,
            dev_rows=1000,
            report_rows=None,
            settings={
                "train": {"epochs": 3, "batch_size": 32, "eval_batch_size": 128, "evaluations": 6},
                "prompt": {"max_tokens": 512},
            },
        ),
        Scale(
            name="paper",
            title="the paper's models and Table 3",
            models=(),
            peft=(),
            seeds=(0,),
            rates=(),
            methods=("predictor", "generator", "predgen-paper"),
            train_rows=None,
            dev_rows=None,
            report_rows=None,
            settings={"train": {"evaluations": 10}},
        ),
    )
}


def find_scale(name: str) -> Scale:
    """A scale by name.

    Raises:
        ConfigError: The message lists the known.
    """
    if name not in SCALES:
        raise ConfigError(f"Unknown scale {name!r}:", nearest(name, SCALES))
    return SCALES[name]
