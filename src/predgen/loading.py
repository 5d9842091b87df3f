"""Run folder → run, wherever the folder has been moved to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from predgen.answers.fields import FieldTables, build_fields
from predgen.answers.option_table import OptionTable
from predgen.answers.spaces import LabelSet, Space, space_from_json
from predgen.config import Precision, QloraConfig
from predgen.config_reading import config_from_dict
from predgen.data.prompts import PromptEncoder, frame_of
from predgen.decoding.calibrate import Calibration
from predgen.decoding.conformal import Conformal, conformal_from_json
from predgen.errors import RunFolderError
from predgen.hub import located
from predgen.model.build import build_fields_method, build_writer
from predgen.model.record import RecordMethod
from predgen.model.scale import stored_scale
from predgen.model.setting import Setting
from predgen.model.writer import Writer
from predgen.peft_methods import peft_method
from predgen.record_run import RecordRun
from predgen.run import Run
from predgen.scoring import BATCH_TOKENS
from predgen.training.probe import check_probe, put_probe, read_probe
from predgen.training.record_folder import read_shared
from predgen.training.run_folder import DIRECTOR, HELD_OUT, RunRecord, read_json, read_record

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from predgen.model.bases import Base


class BaseSource(Protocol):
    """Where base models come from; see `load_base`."""

    def __call__(
        self,
        name: str,
        revision: str | None = None,
        trust_remote_code: bool = False,
        *,
        precision: Precision = "fp32",
        four_bit: QloraConfig | None = None,
    ) -> Base:
        """Loads a base that an adapter may be put into."""
        ...


@dataclass(frozen=True)
class _Parts:
    """What a folder holds, put together."""

    method: nn.Module
    spaces: list[Space]
    encoder: PromptEncoder
    tokenizer: PreTrainedTokenizerBase
    held_out: Any


def load(
    path: str | Path,
    batch_size: int = 32,
    trust_remote_code: bool = False,
    batch_tokens: int = BATCH_TOKENS,
    revision: str | None = None,
    bases: BaseSource | None = None,
) -> Run | RecordRun:
    """Loads a run folder.

    Args:
        path: The folder; or ``owner/name`` on the hub, where there is no such folder.
        batch_size: Most prompts a pass.
        trust_remote_code: Whether code that comes with the base model may run.
        batch_tokens: Most tokens a pass.
        revision: Of a hub id: a branch, tag or commit.
        bases: Where base models come from; None: each is read from its files.

    Raises:
        RunFolderError: If it is no run, is damaged, or was trained on another base than the one found now.
        HubError: If it cannot be fetched.
        ModelError: If its base model cannot be loaded.
    """
    folder = located(path, revision)
    shared = read_shared(folder)
    if shared is None:
        return load_single(folder, batch_size, trust_remote_code, batch_tokens, bases)
    records = [shared.of_field(field) for field in shared.fields]
    names = [field.name for field in shared.fields]
    parts = _put_together(folder, records, names, trust_remote_code, bases)
    assert isinstance(parts.method, RecordMethod)
    runs = {
        name: Run(
            record,
            method,
            space,
            parts.encoder,
            parts.tokenizer,
            *_held_out(folder, record, parts.held_out.get(name)),
            batch_size,
            batch_tokens,
        )
        for name, record, method, space in zip(names, records, parts.method.fields, parts.spaces, strict=True)
    }
    return RecordRun(shared, parts.method, runs, folder)


def load_single(
    path: str | Path,
    batch_size: int = 32,
    trust_remote_code: bool = False,
    batch_tokens: int = BATCH_TOKENS,
    bases: BaseSource | None = None,
) -> Run:
    """`load`, of a run that gives one answer.

    Raises:
        RunFolderError: As `load` says, or if it gives several.
        ModelError: As `load` says.
    """
    folder = located(path)
    record = read_record(folder)
    parts = _put_together(folder, [record], None, trust_remote_code, bases)
    return Run(
        record,
        parts.method,
        parts.spaces[0],
        parts.encoder,
        parts.tokenizer,
        *_held_out(folder, record, parts.held_out),
        batch_size,
        batch_tokens,
        folder=folder,
    )


def _put_together(
    folder: Path,
    records: list[RunRecord],
    names: list[str] | None,
    trust_remote_code: bool,
    bases: BaseSource | None,
) -> _Parts:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    from predgen.model.bases import check_base, load_base

    record = records[0]
    try:
        config = config_from_dict(record.config, where=f"{folder}/predgen.json")
        spaces = [space_from_json(each.space) for each in records]
        peft = peft_method(config.peft.method)
        precision = config.train.precision
        if precision == "fp16" and not torch.cuda.is_available():
            precision = "fp32"  # the same numbers up to rounding; CPUs are slow in fp16
        if peft.whole:
            base = load_base(str(folder), None, trust_remote_code)
        else:
            peft.check(config.peft)
            base = (bases or load_base)(
                config.model.name,
                config.model.revision,
                trust_remote_code,
                precision=precision,
                four_bit=config.peft.qlora if peft.quantised else None,
            )
            check_base(base, record.base["sha256"])
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        lm = peft.load(base.model, folder)
        prompt = config.prompt
        frame = frame_of(tokenizer, prompt.cue, prompt.chat)
        vocabulary = Writer(base.model).vocabulary_size
        if config.space.style == "labels":
            tables, cues = build_fields(
                names, spaces, tokenizer, frame.behind, vocabulary, [()] * len(spaces), config.search
            )
        else:
            assert isinstance(spaces[0], LabelSet)
            ends = OptionTable([], int(tokenizer.eos_token_id), len(spaces[0].labels))
            tables, cues = FieldTables((ends,), ([],))
        settings = [
            Setting(
                config.of_field(each.target) if names else config,
                each.task,
                space,
                each.total_steps,
                stored_scale(space, each.mean, each.spread),
            )
            for each, space in zip(records, spaces, strict=True)
        ]
        method = build_fields_method(build_writer(lm, config, record.scoring), tables, cues, settings)
        director = load_file(folder / DIRECTOR) if (folder / DIRECTOR).exists() else {}
        held_out = read_json(folder, HELD_OUT)
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError, ValueError, RuntimeError) as problem:
        raise _damaged(folder, problem) from problem
    own = {name: parameter for name, parameter in method.named_parameters() if not name.startswith("writer.")}
    if own.keys() != director.keys():
        raise RunFolderError(f"{folder / DIRECTOR} holds {sorted(director)}, expected {sorted(own)}.")
    with torch.no_grad():
        for name, tensor in director.items():
            own[name].copy_(tensor)
    if record.base.get("probe") is not None:
        check_probe(folder, record.base["probe"])
        put_probe(method, read_probe(folder))
    method.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    encoder = PromptEncoder(tokenizer, prompt.cue, record.max_tokens, prompt.long, prompt.chat)
    return _Parts(method, spaces, encoder, tokenizer, held_out)


def _held_out(folder: Path, record: RunRecord, errors: Any) -> tuple[Calibration, dict[str, Conformal]]:
    from pydantic import TypeAdapter

    try:
        calibration = TypeAdapter(Calibration).validate_python(record.calibration)
        return calibration, {name: conformal_from_json(each) for name, each in errors.items()}
    except (ValueError, AttributeError) as problem:
        raise _damaged(folder, problem) from problem


def _damaged(folder: Path, problem: Exception) -> RunFolderError:
    return RunFolderError(
        f"{folder} is damaged or incomplete: {problem}", remedy="Restore it from a copy, or fit again."
    )
