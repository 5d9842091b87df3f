"""Run folder + rows → the states that its method decides by, from prompts and the model's own answers alone.

With the gold answer among the tokens, the information would be H(Y) and say nothing; there is no argument through which
it could come in. States are written part by part into the run folder and read from there, one slot of one layer at a
time, so that neither reading texts nor estimating holds all of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from predgen.data.batches import pad_prompts
from predgen.decoding.decode import decode
from predgen.downloads import sha256_of
from predgen.errors import ConfigError, RunFolderError
from predgen.information.layout import Layout
from predgen.run import Run
from predgen.training.run_folder import RECORD, write_json

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FOLDER = "information"  # within the run folder
PART = 256  # rows of one file


@dataclass(frozen=True)
class Representations:
    """States of N rows on disk.

    Args:
        folder: Its parts.
        rows: N.
        kind: "pooled" or "tokens".
        layers: Which layers are there, 0 the embeddings.
        slots: Tokens a row; 1 where they are pooled.
        cut: Rows whose text was longer than the context, and was read in part.
    """

    folder: Path
    rows: int
    kind: str
    layers: tuple[int, ...]
    slots: int
    cut: int

    def parts(self, layer: int, slot: int = 0) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
        """(rows of the part, d) states and (rows,) whether the row has such a token, part by part."""
        place = self.layers.index(layer)
        for number in range(_part_count(self.rows)):
            with safe_open(_part_file(self.folder, number), framework="pt") as file:
                states = file.get_slice("states")[:, place, slot]
                real = file.get_tensor("real")[:, slot]
            yield states.double().numpy(), real.bool().numpy()

    def read(self, layer: int, slot: int = 0) -> tuple[Floats, NDArray[np.bool_]]:
        """(N, d) and (N,), all parts together."""
        states, real = zip(*self.parts(layer, slot), strict=True)
        return np.concatenate(states), np.concatenate(real)


def layer_count(run: Run) -> int:
    """Layers of the run's model; layer 0 is the embeddings, and the last is what the method decides by."""
    method: Any = run.method
    return int(method.writer.lm.config.get_text_config().num_hidden_layers)


def kind_of(run: Run) -> str:
    """What a run decides by: "pooled", a head's one state, or "tokens", those of prompt and own answer."""
    return "pooled" if hasattr(run.method, "pool") else "tokens"


def check_kind(run: Run, kind: str) -> None:
    """Refuses a representation that the run's method does not have.

    Raises:
        ConfigError: If it has another.
    """
    found = kind_of(run)
    if kind != found:
        method = run.record.config["method"]
        has = "the pooled state of its head" if found == "pooled" else "token states of prompt and own answer"
        raise ConfigError(f"A {method} run has no {kind!r} representation.", f"It has {found!r}: {has}.")


def extract(
    run: Run,
    folder: Path,
    bodies: Sequence[str],
    layout: Layout,
    layers: Sequence[int],
    progress: Callable[[int], None] = lambda rows: None,
    field: str | None = None,
) -> Representations:
    """Reads rows, or finds that they have been read.

    Args:
        run: A fitted run.
        folder: The run folder, which the states are kept in.
        bodies: N rendered rows.
        layout: Which tokens are kept, where the method has token states.
        layers: Which layers, 0 to `layer_count`.
        progress: Called with the number of rows done after each pass.
        field: Which of several answers the run is of, whose states stand behind a cue of its own.

    Raises:
        ConfigError: If there is no such layer.
        RunFolderError: If the run folder cannot be written, or holds a damaged part.
    """
    most = layer_count(run)
    wrong = [layer for layer in layers if not 0 <= layer <= most]
    if wrong or not layers:
        raise ConfigError(f"This model has no layer {wrong[0] if wrong else '(none named)'}.", f"It has 0 to {most}.")
    kind = kind_of(run)
    settings = {
        "run": sha256_of(folder / RECORD),
        "rows": _fingerprint(bodies),
        "kind": kind,
        "layout": asdict(layout) if kind == "tokens" else None,
        "layers": list(layers),
        "part": PART,
        "version": 1,
        **({} if field is None else {"field": field}),
    }
    home = folder / FOLDER / hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    encoded = [run.encoder(body) for body in bodies]
    try:
        home.mkdir(parents=True, exist_ok=True)
        write_json(home / "settings.json", settings)
        for number in range(_part_count(len(bodies))):
            part = encoded[number * PART : (number + 1) * PART]
            if not _whole(_part_file(home, number), len(part)):
                _write_part(_part_file(home, number), run, [prompt.ids for prompt in part], layout, layers, progress)
            else:
                progress(len(part))
    except OSError as problem:
        raise RunFolderError(f"States cannot be kept in {home}: {problem.strerror}.") from problem
    slots = layout.slots if kind == "tokens" else 1
    cut = sum(prompt.cut > 0 for prompt in encoded)
    return Representations(home, len(bodies), kind, tuple(layers), slots, cut)


@torch.no_grad()
def _write_part(
    path: Path,
    run: Run,
    prompts: Sequence[Sequence[int]],
    layout: Layout,
    layers: Sequence[int],
    progress: Callable[[int], None],
) -> None:
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    states, real = list[Tensor](), list[Tensor]()
    device = next(run.method.parameters()).device
    step = min(run.batch_size, max(1, run.batch_tokens // max(map(len, prompts))))
    for start in range(0, len(order), step):
        chosen = order[start : start + step]
        ids, mask = (part.to(device) for part in pad_prompts([prompts[row] for row in chosen]))
        read, there = token_states(run, ids, mask, layout, layers)
        states.append(read.float().cpu())
        real.append(there.cpu())
        progress(len(chosen))
    back = torch.tensor(order).argsort()
    tensors = {"states": torch.cat(states)[back].contiguous(), "real": torch.cat(real)[back].to(torch.uint8)}
    temporary = path.with_name(path.name + ".part")
    save_file(tensors, temporary)
    temporary.replace(path)


def token_states(run: Run, ids: Tensor, mask: Tensor, layout: Layout, layers: Sequence[int]) -> tuple[Tensor, Tensor]:
    """States of one batch of prompts.

    Args:
        run: A fitted run.
        ids: (B, P), padded on the left.
        mask: (B, P).
        layout: Which tokens are kept; not read where they are pooled.
        layers: L of them.

    Returns:
        (B, L, slots, d), and (B, slots) bool, true where a row has such a token.
    """
    method: Any = run.method
    if kind_of(run) == "pooled":
        every = method.writer.read_layers(ids, mask)
        pooled = torch.stack([method.pool(every[layer], mask) for layer in layers], dim=1)
        return pooled[:, :, None], torch.ones(len(ids), 1, dtype=torch.bool, device=ids.device)
    prefix, prompt = method.writer.prefill_layers(ids, mask)
    own = decode(method.writer, prefix, method.table, method.writer_loss.normalise)
    answer = method.writer.extend(prefix, own.ids, own.mask).layers
    taken = [layout.take(prompt[layer], mask, answer[layer], own.mask) for layer in layers]
    return torch.stack([states for states, _ in taken], dim=1), taken[0][1]


def _fingerprint(bodies: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for body in bodies:
        digest.update(json.dumps(body).encode())
    return digest.hexdigest()


def _part_count(rows: int) -> int:
    return -(-rows // PART)


def _part_file(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.safetensors"


def _whole(path: Path, rows: int) -> bool:
    if not path.exists():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return bool(file.get_slice("states").get_shape()[0] == rows)
    except SafetensorError:
        return False  # it is written anew
