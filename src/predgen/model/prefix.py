"""What has been read so far, and what was read behind it: the writer's passes take and give these."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from predgen.errors import ModelError


class Prefix(NamedTuple):
    """Everything that later passes need of B rows read so far (S columns)."""

    keys: tuple[Tensor, ...]  # one a layer, (B, heads, S, head size); none where every pass reads anew
    values: tuple[Tensor, ...]  # as keys
    ids: Tensor  # (B, S) int64
    mask: Tensor  # (B, S) int64; 0 on padding
    logits: Tensor  # (B, V) next-token logits behind the last column; (B, 0) where it has not been read yet
    all_logits: Tensor | None = None  # (B, S, V); those behind every column, where they were asked for
    states: Tensor | None = None  # (B, S, d); last hidden states of every column, where the writer keeps them

    @property
    def lengths(self) -> Tensor:
        """Real tokens of each row, (B,)."""
        return self.mask.sum(dim=1)

    def detached(self) -> Prefix:
        """The same prefix without its gradient, as far as passes behind it need it."""
        return Prefix(
            tuple(key.detach() for key in self.keys),
            tuple(value.detach() for value in self.values),
            self.ids,
            self.mask,
            self.logits.detach(),
        )

    def rows(self, start: int, stop: int) -> Prefix:
        """Some of the rows."""
        return Prefix(
            tuple(key[start:stop] for key in self.keys),
            tuple(value[start:stop] for value in self.values),
            self.ids[start:stop],
            self.mask[start:stop],
            self.logits[start:stop],
        )

    def with_states_before(self, before: Tensor | None) -> Prefix:
        """The same with the states of S' columns in front of its own, (B, S', d); where the writer keeps them."""
        if self.states is None or before is None:
            return self
        return self._replace(states=torch.cat([before, self.states], dim=1))

    def repeated(self, times: int) -> Prefix:
        """Every row so many times, one copy behind the other."""
        return Prefix(
            tuple(key.repeat_interleave(times, dim=0) for key in self.keys),
            tuple(value.repeat_interleave(times, dim=0) for value in self.values),
            self.ids.repeat_interleave(times, dim=0),
            self.mask.repeat_interleave(times, dim=0),
            self.logits.repeat_interleave(times, dim=0),
        )

    def cache(self) -> DynamicCache:
        """A fresh cache over the same tensors, for one pass; growing it leaves the prefix as it is."""
        cache = empty_cache()
        for key, value in zip(self.keys, self.values, strict=True):
            cache.layers.append(_OnePassLayer(key, value))
        return cache


class _OnePassLayer(DynamicLayer):
    """What one layer's attention finds behind a prefix in one pass, however often that pass is computed.

    Gradient checkpointing computes a layer again in the backward pass. There it has to find what it found before: a
    cache that grows each time would hold its tokens twice.

    Args:
        keys: (B, heads, S, head size) of the prefix; None where there is none.
        values: As keys.
    """

    def __init__(self, keys: Tensor | None = None, values: Tensor | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._before = None if keys is None or values is None else (keys, values)
        self._grown = False
        if self._before is not None:
            self._hold(*self._before)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keys and values of the prefix with those of this pass behind them, which the first computation keeps."""
        keys, values = key_states, value_states
        if self._before is not None:
            keys, values = torch.cat([self._before[0], keys], dim=-2), torch.cat([self._before[1], values], dim=-2)
        if not self._grown:
            self._hold(keys, values)
            self._grown = True
        return keys, values

    def _hold(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True


def empty_cache() -> DynamicCache:
    """A cache that holds nothing yet, for one pass."""
    cache = DynamicCache()
    cache.layer_class_to_replicate = _OnePassLayer
    return cache


class Written(NamedTuple):
    """T answer tokens read behind a prefix of S columns."""

    states: Tensor  # (B, T, d); the last hidden states, the paper's Z over the answer
    logits: Tensor  # (B, T + 1, V); column t predicts the t-th token behind the prefix, the first by the prefix alone
    prefix: Prefix  # the prefix grown by these tokens
    prompt_logits: Tensor | None  # (B, S, V); those behind every column of the prefix, where they were asked for
    layers: tuple[Tensor, ...] = ()  # (B, T, d) each; the embeddings' states and every layer's, the last as `states`
    prompt_states: Tensor | None = None  # (B, S, d); as `states`, of the prefix, where the writer keeps them


class Tree(NamedTuple):
    """Trees that each row has of its own behind a prefix, as far as they are read; B rows, M nodes, S columns."""

    keys: tuple[Tensor, ...]  # one a layer, (B, heads, S + M, head size); none where every pass reads anew
    values: tuple[Tensor, ...]  # as keys
    ids: Tensor  # (B, M) int64
    depth: Tensor  # (B, M) int64; 1 right behind the prompt
    sees: Tensor  # (B, M, M) bool; node i attends to node j: itself or an ancestor

    @staticmethod
    def bare(prefix: Prefix) -> Tree:
        """A tree without nodes."""
        none = prefix.ids[:, :0]
        return Tree(prefix.keys, prefix.values, none, none, none[:, :, None].expand(-1, -1, 0).bool())

    def planted(self, ids: Tensor, parent: Tensor) -> Tree:
        """The tree with K nodes more, which have not been read yet.

        Args:
            ids: (B, K) tokens.
            parent: (B, K) their parents among the M nodes, -1 for the prompt's end.
        """
        rows, count = ids.shape
        own = torch.eye(count, dtype=torch.bool, device=ids.device).expand(rows, count, count)
        depth, above = torch.ones_like(ids), self.sees.new_zeros(rows, count, self.ids.shape[1])
        if self.ids.shape[1]:
            at, rooted = parent.clamp_min(0), parent < 0
            depth = torch.where(rooted, depth, self.depth.gather(1, at) + 1)
            above = self.sees.gather(1, at[:, :, None].expand_as(above)) & ~rooted[:, :, None]
        wider = nn.functional.pad(self.sees, (0, count))
        return Tree(
            self.keys,
            self.values,
            torch.cat([self.ids, ids], dim=1),
            torch.cat([self.depth, depth], dim=1),
            torch.cat([wider, torch.cat([above, own], dim=2)], dim=1),
        )


def as_prefix(cache: Any, ids: Tensor, mask: Tensor, logits: Tensor, states: Tensor | None = None) -> Prefix:
    """What a pass left in its cache, with what was read, and its last hidden states where they are kept.

    Raises:
        ModelError: If the cache does not hold all of it.
    """
    layers = getattr(cache, "layers", [])
    # A model that drops or replaces the cache would answer without having read the prompt, and not say so.
    if not layers or any(getattr(layer, "keys", None) is None for layer in layers):
        raise ModelError(
            "This model returned no key-value cache for its prompt.",
            "predgen needs a decoder whose layers all keep keys and values.",
            "Choose another model, or switch gradient checkpointing off.",
        )
    if any(layer.keys.shape[-2] != mask.shape[1] for layer in layers):
        raise ModelError(
            f"This model's cache does not hold all {mask.shape[1]} tokens of its prompt.",
            "Windowed and recurrent caches cannot branch.",
        )
    keys, values = tuple(layer.keys for layer in layers), tuple(layer.values for layer in layers)
    return Prefix(keys, values, ids, mask, logits, states=states)
