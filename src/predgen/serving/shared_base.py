"""Several runs over one base model: its weights are in memory once."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from torch import nn

from predgen.config import Precision, QloraConfig
from predgen.model.bases import Base, load_base

Model = TypeVar("Model", bound=nn.Module)
Key = tuple[str, str | None, Precision, QloraConfig | None]


class SharedBases:
    """Stands in the place of `load_base` and reads every base once.

    Each run gets layers of its own around the same tensors. What an adapter puts into the layers is then that run's
    alone, and choosing a run is choosing its layers: there is nothing to switch in between, and no adapter, whatever
    its kind, needs to know of another. Nothing may write to the tensors; no PEFT method does when it is loaded.
    """

    def __init__(self) -> None:
        self._bases: dict[Key, Base] = {}
        self._by_content: dict[tuple[str, Precision, QloraConfig | None], Base] = {}

    def __call__(
        self,
        name: str,
        revision: str | None = None,
        trust_remote_code: bool = False,
        precision: Precision = "fp32",
        four_bit: QloraConfig | None = None,
    ) -> Base:
        """As `load_base`; of a base that is there already only its layers are made anew.

        Raises:
            ModelError: As `load_base` says.
            DownloadError: As `load_base` says.
        """
        folder = Path(name).expanduser()
        key = (str(folder.resolve()) if folder.exists() else name, revision, precision, four_bit)
        if key not in self._bases:
            loaded = load_base(name, revision, trust_remote_code, precision=precision, four_bit=four_bit)
            # The same weights may lie under two names.
            self._bases[key] = self._by_content.setdefault((loaded.sha256, precision, four_bit), loaded)
        base = self._bases[key]
        return replace(base, model=twin(base.model), name=name)


def twin(model: Model) -> Model:
    """New modules around the same parameters and buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    made: Model = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    return made
