"""Training a finished run further, on new rows: its settings, its answers, its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from predgen.config import RunConfig
from predgen.config_reading import config_from_dict
from predgen.errors import ConfigError
from predgen.loading import load
from predgen.model.bases import check_sha256
from predgen.model.scale import Scale, stored_scale
from predgen.peft_methods import peft_method
from predgen.training.run_folder import read_checked


@dataclass(frozen=True)
class Start:
    """Where training starts from.

    Args:
        tensors: Parameters by name, as the method has them.
        scales: Of the targets that directors or heads were trained with; one for each answer.
    """

    tensors: Mapping[str, Tensor]
    scales: tuple[Scale, ...]

    def put_into(self, method: nn.Module) -> None:
        """Sets every parameter that learns, and those that stay but belong to what was learned, as LoRA-FA's A.

        Raises:
            ConfigError: If the settings build another method than the one that was saved.
        """
        with torch.no_grad():
            for name, parameter in method.named_parameters():
                fits = name in self.tensors and self.tensors[name].shape == parameter.shape
                if not parameter.requires_grad and not fits:
                    continue
                if not fits:
                    raise ConfigError(
                        f"The run to start from has no parameter {name} of the shape {tuple(parameter.shape)}.",
                        "Method, director, pooling and peft settings must be the run's own.",
                    )
                parameter.copy_(self.tensors[name])


def continued(config: RunConfig, start_from: Path, say: Callable[[str], None]) -> RunConfig:
    """The settings of a run that goes on from another: answers, template and cue are the other's.

    Args:
        config: What was asked for; its model, method, peft and prompt must be the other run's.
        start_from: The other run's folder.
        say: Takes one line at a time.

    Raises:
        ConfigError: If they are not; the message names each difference.
    """
    before = config_from_dict(read_checked(start_from)["config"], where=str(start_from))
    differing = [
        f"{name}: {getattr(before, name)!r} → {getattr(config, name)!r}"
        for name in ("method", "model", "peft", "writer", "predictor", "prompt")
        if getattr(before, name) != getattr(config, name)
    ]
    if differing:
        raise ConfigError(
            f"These settings are not those of {start_from}:\n  " + "\n  ".join(differing) + "\n",
            "A run that goes on keeps them.",
        )
    if not peft_method(before.peft.method).goes_on:
        raise ConfigError(
            f"{start_from} was adapted by {before.peft.method}, whose saved form is not what it was trained as.",
            "It cannot be trained further.",
            "Fit on the old and new rows together.",
        )
    say(f"Starting from the weights of {start_from}; the answers stay its own.")
    return replace(
        config,
        task=before.task,
        space=before.space,
        fields=before.fields,
        director=before.director,
        data=replace(
            config.data,
            text=None,
            template=before.data.template,
            target=before.data.target,
            separator=before.data.separator,
            label_names=config.data.label_names or before.data.label_names,
            options=config.data.options or before.data.options,
        ),
    )


def start_weights(start_from: Path, base_sha256: str, trust_remote_code: bool) -> Start:
    """Reads a finished run's weights.

    Args:
        start_from: The run folder.
        base_sha256: Of the base that training has loaded.
        trust_remote_code: Whether code that comes with the base model may run.

    Raises:
        RunFolderError: If it is no run, is damaged, or was trained on another base.
    """
    run = load(start_from, trust_remote_code=trust_remote_code)
    check_sha256(run.record.base["name"], base_sha256, run.record.base["sha256"])
    tensors = {name: parameter.detach().cpu() for name, parameter in run.method.named_parameters()}
    scales = [stored_scale(part.space, part.record.mean, part.record.spread) for part in run.parts.values()]
    return Start(tensors, tuple(scales))
