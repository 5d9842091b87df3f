"""What the hub reads of a model card: tags, base model, and the test rows' metrics as a model index."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from predgen.base_run import BaseRun
from predgen.metrics import METRICS
from predgen.model.bases import NAMED_BASES, is_folder
from predgen.peft_methods import peft_method
from predgen.training.run_folder import RunRecord

# Our names → those of the hub's metrics, where it has the metric.
_HUB_METRICS = {
    "macro_f1": "f1",
    "micro_f1": "f1",
    "mcc": "matthews_correlation",
    "r2": "r_squared",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}


def metadata(run: BaseRun, metrics: Mapping[str, Any], name: str) -> ModelCardData:
    """The card's metadata.

    Args:
        run: The run.
        metrics: What metrics.json holds.
        name: What the model is called in its index.
    """
    record = next(iter(run.parts.values())).record
    config = record.config
    whole = peft_method(config["peft"]["method"]).whole
    base = record.base["name"]
    on_hub = base not in NAMED_BASES and not is_folder(base)
    results = list(_results(metrics["test"], record)) if "test" in metrics else []
    return ModelCardData(
        base_model=base if on_hub else None,
        library_name="transformers" if whole else "peft",
        pipeline_tag="text-classification",
        tags=["predgen", f"predgen-{config['method']}", config["task"], config["peft"]["method"]],
        model_name=name if results else None,
        eval_results=results or None,
    )


def _results(evaluation: Mapping[str, Any], record: RunRecord) -> Iterator[EvalResult]:
    """The default decision's metrics; a record's fields each under its name."""
    if "fields" in evaluation:
        yield from _result({evaluation["metric"]: evaluation["value"]}, None, record, evaluation["rows"])
        for field, inner in evaluation["fields"].items():
            yield from _result(inner["decisions"][inner["decision"]], field, record, evaluation["rows"])
        return
    yield from _result(evaluation["decisions"][evaluation["decision"]], None, record, evaluation["rows"])


def _result(values: Mapping[str, Any], field: str | None, record: RunRecord, rows: int) -> Iterator[EvalResult]:
    source = Path(record.data["test"]["source"]).name
    for metric, value in values.items():
        if value is None or not math.isfinite(value):
            continue
        title = METRICS[metric].title if metric in METRICS else metric
        yield EvalResult(
            task_type="text-classification",
            task_name=None if field is None else f"predicting {field}",
            # Rows of a user's own are no data set of the hub; the index asks for an id all the same.
            dataset_type=re.sub(r"[^\w.-]+", "-", source),
            dataset_name=f"{source}, {rows} rows",
            dataset_split="test",
            metric_type=_HUB_METRICS.get(metric, metric),
            metric_name=title if field is None else f"{field}: {title}",
            metric_value=round(float(value), 6),
        )
