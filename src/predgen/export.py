"""A run's writer for use without predgen: its adapter alone, or a plain model with the adapter merged in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from predgen.config_reading import config_from_dict
from predgen.errors import ConfigError, RunFolderError
from predgen.peft_methods import PeftMethod, peft_method
from predgen.training.run_folder import DIRECTOR, METRICS, PROBE, RECORD, read_checked

_ADAPTER = ("adapter_model.safetensors", "adapter_config.json")
_PLAIN = "config.json"  # a folder with it holds a whole model


def export(run: Path, folder: Path, merged: bool, say: Callable[[str], None], trust_remote_code: bool = False) -> None:
    """Writes a run's writer to a folder of its own; decisions, calibration and director stay behind.

    Args:
        run: A finished run.
        folder: Where to; must not hold anything yet.
        merged: Whether as a plain model of transformers, in float32 whatever the run's precision, since the small
            changes of an adapter would be lost in half of it. Else the adapter, for peft and the same base.
        say: Takes one line at a time.
        trust_remote_code: Whether code that comes with the base model may run.

    Raises:
        RunFolderError: If there is no such run, or the folder holds something.
        ConfigError: If the run has no adapter, or one that no plain weights can stand for.
    """
    if not (run / RECORD).exists() and (run / _PLAIN).exists():
        raise RunFolderError(
            f"{run} holds a plain model already, merged or never adapted; there is nothing to export.",
            "Expected a folder that `predgen fit` wrote.",
        )
    record = read_checked(run)
    method = peft_method(config_from_dict(record["config"], where=f"{run}/predgen.json").peft.method)
    _check(method, run, merged)
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise RunFolderError(f"{folder} holds something already.", remedy="Choose another --out.")
    if merged:
        _write_merged(run, folder, method, trust_remote_code)
        say(f"A plain model and its tokenizer: {folder}  (transformers' AutoModelForCausalLM loads it)")
    else:
        _write_adapter(run, folder, trust_remote_code)
        ours = ", after `import predgen.peft_methods`" if method.library.startswith("ours") else ""
        say(f"The adapter and its tokenizer: {folder}  (peft loads it into {record['base']['name']}{ours})")
        if (folder / PROBE).exists():
            say(
                f"The writer was trained with {PROBE}: add its `weight` to the output weights of its `tokens`, "
                "or export with --merged, which does."
            )
    cue = record["config"]["prompt"]["cue"]
    say(f"The prompt is the row in {record['template']!r}, then {cue!r}; the answer follows.")
    if (run / DIRECTOR).exists():
        say("The director or head is not part of it: only the writer's text and probabilities are.")
    outside = (json.loads((run / METRICS).read_text()).get("test") or {}).get("outside_space")
    if outside:
        say(
            f"Left to itself it writes something else than an answer for {outside:.1%} of the test rows: "
            "constrain what it decodes to the answers, or fit with writer.normalise=vocabulary."
        )


def _check(method: PeftMethod, run: Path, merged: bool) -> None:
    if method.whole:
        raise ConfigError(
            f"{run} was fine-tuned whole: it has no adapter to export or merge.",
            remedy="Its folder is a plain model already; transformers' AutoModelForCausalLM loads it.",
        )
    if merged and method.merge is None:
        raise ConfigError(
            f"{run} was adapted by {method.name}, which no plain weights can stand for.",
            remedy="Export it without --merged.",
        )


def _write_merged(run: Path, folder: Path, method: PeftMethod, trust_remote_code: bool) -> None:
    from predgen.loading import load
    from predgen.model.writer import Writer

    loaded = load(run, trust_remote_code=trust_remote_code)
    assert method.merge is not None
    writer: Writer = loaded.method.writer  # type: ignore[assignment]
    model = method.merge(writer.lm.float())
    if writer.projection is not None and writer.projection.probe is not None:
        writer.projection.merge_probe(model)
    model.save_pretrained(folder)
    _write_tokenizer(run, folder, trust_remote_code)


def _write_adapter(run: Path, folder: Path, trust_remote_code: bool) -> None:
    from predgen.training.probe import copy_probe

    folder.mkdir(parents=True, exist_ok=True)
    for name in _ADAPTER:
        if not (run / name).exists():
            raise RunFolderError(f"{run} is damaged: {name} is missing.", remedy="Restore it from a copy.")
        shutil.copy2(run / name, folder / name)
    copy_probe(run, folder)
    _write_tokenizer(run, folder, trust_remote_code)


def _write_tokenizer(run: Path, folder: Path, trust_remote_code: bool) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run, local_files_only=True, trust_remote_code=trust_remote_code)
    tokenizer.save_pretrained(folder)
