"""What was trained on what."""

from __future__ import annotations

from predgen.answers.spaces import LabelSet
from predgen.metrics import METRICS
from predgen.report.blocks import Facts, Section
from predgen.report.material import Material
from predgen.report.text import count, fixed, number, percent, short, shown
from predgen.run import Run


def training_section(material: Material) -> Section:
    """Task, answers, method, base model, rows, seeds, selection, calibration."""
    record, run = material.record, material.run
    metric = METRICS[run.metric].title if run.metric in METRICS else run.metric
    config, parts = record.config, list(run.parts.values())
    rows = ", ".join(f"{record.data[name]['rows']:,} {name}" for name in ("train", "dev", "test"))
    sources = ", ".join(dict.fromkeys(str(record.data[name]["source"]) for name in ("train", "dev", "test")))
    peft = config["peft"]["method"]
    adapter = peft if peft == "full" else f"{peft}, rank {config['peft']['rank']}"
    pairs = [
        ("Task", f"{config['task']}: {', '.join(part.record.target for part in parts[:12])}"),
        ("Prompt", f"{shown(record.template, 400)}{shown(config['prompt']['cue'], 80)}"),
        *((("Answers" if len(parts) == 1 else f"Answers, {short(name)}"), shown(str(part.space), 300))
          for name, part in list(run.parts.items())[:12]),
        ("Method", f"{run.method_name}; adapter: {adapter}"),
        ("Base model", f"{record.base['name']}, SHA-256 {record.base['sha256'][:16]}…, licence: "
                       f"{record.base['licence'] or 'not stated'}"),
        ("Rows", f"{rows}, of {shown(sources, 200)}"),
        ("Training", f"{count(record.total_steps, 'step')} of {count(config['train']['batch_size'], 'row')}, learning "
                     f"rate {number(config['train']['learning_rate'])}; checkpoint of step {record.best_step} kept"),
        ("Seeds", f"training {config['train']['seed']}, split {config['data']['split_seed']}, this report "
                  f"{material.seed}"),
        ("Selected by", f"{metric}, on the dev rows; decision "
                        + ", ".join(dict.fromkeys(part.record.decision for part in parts))),
        *((f"Calibration{'' if len(parts) == 1 else ', ' + short(name)}", _calibration(part))
          for name, part in list(run.parts.items())[:12]),
    ]  # fmt: skip
    return Section("What was trained on what", [Facts(pairs)])


def _calibration(run: Run) -> str:
    found = run.calibration
    if not found.rows:
        return "none: scores are as trained"
    said = []
    if found.posterior != 1.0:
        said.append(f"writer's temperature {fixed(found.posterior, 2)}")
    if found.reader != 1.0:
        said.append(f"{run.reader_name or 'reader'}'s temperature {fixed(found.reader, 2)}")
    if found.mix is not None:
        one, other = found.mix
        if isinstance(run.space, LabelSet):
            parts = f"weights {fixed(one, 2)} and {fixed(other, 2)}"
        else:
            parts = f"shares {percent(one)} and {percent(other)}"
        said.append(f"writer and {run.reader_name} mixed, {parts}")
    return f"on {count(found.rows, 'dev row')}: {'; '.join(said) or 'nothing to change'}"
