"""The writer: a causal language model behind four passes.

`prefill` reads the prompts once, `extend` reads answer tokens behind them, `branch` a whole trie behind them, and
`grow` a tree of each row's own, some nodes at a time. A `Prefix` is never changed: each pass works on a cache of its
own that shares the prompt's tensors, so that sampling, training and scoring can all start from one prefill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from predgen.model.columns import last_columns, positions
from predgen.model.language_model import LanguageModel
from predgen.model.packing import Lines, lay_out
from predgen.model.prefix import Prefix, Tree, Written, as_prefix, empty_cache
from predgen.model.tree_mask import layer_windows, tree_bias

if TYPE_CHECKING:
    from peft import PeftModel


class Writer(LanguageModel):
    """A causal LM (with or without adapter) and nothing else.

    Args:
        lm: A decoder-only language model of transformers, or such a model wrapped by peft.

    Raises:
        ModelError: If the model keeps no plain key-value cache; its answers could not branch from one prompt.
    """

    def __init__(self, lm: PreTrainedModel | PeftModel) -> None:
        super().__init__(lm)
        self._virtual: Tensor | None = getattr(lm, "virtual_ids", None)
        self.windows = layer_windows(self.lm.config.get_text_config())

    @property
    def keeps_prompts(self) -> bool:
        """Whether what all prompts begin with can be read once, and prompts together with a trie."""
        return self._virtual is None  # virtual tokens stand in front of each row's own

    @property
    def learns_behind_heads(self) -> bool:
        """Whether that goes for training passes too."""
        return self.keeps_prompts

    @property
    def virtual_tokens(self) -> int:
        """How many learned columns stand in front of every prompt."""
        return 0 if self._virtual is None else int(self._virtual.shape[0])

    def prefill(self, prompt_ids: Tensor, prompt_mask: Tensor, all_logits: bool = False) -> Prefix:
        """Reads left-padded prompts.

        Args:
            prompt_ids: (B, P).
            prompt_mask: (B, P), 1 on real tokens.
            all_logits: Whether the logits of all columns are kept; large, and only of use to a loss over the prompt.
        """
        return self._fill(*self.in_full(prompt_ids, prompt_mask), all_logits)

    def _fill(self, prompt_ids: Tensor, prompt_mask: Tensor, all_logits: bool = False) -> Prefix:
        """As `prefill`, of prompts that are in full already."""
        lines = None if all_logits else lay_out(prompt_ids, prompt_mask)
        if lines is not None:
            return self.fill_lines(lines, prompt_ids, prompt_mask)
        cache = empty_cache()
        output, states = self.with_states(
            input_ids=prompt_ids,
            attention_mask=prompt_mask,
            position_ids=positions(prompt_mask),
            past_key_values=cache,
            use_cache=self.use_cache,
            # No other position predicts an answer token.
            logits_to_keep=None if all_logits else last_columns(prompt_ids),
        )
        prefix = as_prefix(cache, prompt_ids, prompt_mask, output.logits[:, -1], states)
        return prefix._replace(all_logits=output.logits) if all_logits else prefix

    def fill_lines(self, lines: Lines, prompt_ids: Tensor, prompt_mask: Tensor, before: Prefix | None = None) -> Prefix:
        """As `prefill`, of prompts that lie side by side.

        Args:
            lines: Where their tokens lie, on K lines.
            prompt_ids: (B, P).
            prompt_mask: (B, P).
            before: What stands in front of every prompt, read; K rows of H columns.

        Returns:
            Without the columns of what stands in front.
        """
        front = 0 if before is None else before.mask.shape[1]
        cache = empty_cache() if before is None else before.cache()
        output, states = self.with_states(
            input_ids=lines.ids,
            attention_mask=lines.bias(self.dtype, self.windows, front),
            position_ids=lines.position + front,
            past_key_values=cache,
            use_cache=self.use_cache,
            logits_to_keep=last_columns(lines.ids, lines.last),
        )
        read = torch.nn.functional.pad(lines.row, (front, 0))
        packed = as_prefix(cache, read, read, output.logits[:, -1])

        def padded(cached: Tensor) -> Tensor:
            return lines.padded(cached[:, :, front:].transpose(1, 2)).transpose(1, 2)

        keys, values = tuple(map(padded, packed.keys)), tuple(map(padded, packed.values))
        states = None if states is None else lines.padded(states)
        return Prefix(keys, values, prompt_ids, prompt_mask, lines.at_ends(output.logits), states=states)

    def prefill_layers(self, prompt_ids: Tensor, prompt_mask: Tensor) -> tuple[Prefix, tuple[Tensor, ...]]:
        """As `prefill`, and the states of the embeddings and of every layer, (B, P, d) each."""
        width = prompt_ids.shape[1]
        prompt_ids, prompt_mask = self.in_full(prompt_ids, prompt_mask)
        cache = empty_cache()
        output = self(
            input_ids=prompt_ids,
            attention_mask=prompt_mask,
            position_ids=positions(prompt_mask),
            past_key_values=cache,
            use_cache=self.use_cache,
            logits_to_keep=last_columns(prompt_ids),
            output_hidden_states=True,
        )
        prefix = as_prefix(cache, prompt_ids, prompt_mask, output.logits[:, -1])
        return prefix, tuple(states[:, -width:] for states in output.hidden_states)

    def read_on(self, prefix: Prefix, ids: Tensor, mask: Tensor) -> Prefix:
        """Reads more of the prompts behind what has been read of them.

        Args:
            prefix: Of B rows, S columns.
            ids: (B, T), the last column real in every row.
            mask: (B, T), 1 on real tokens; others are as if they were not there.
        """
        mask = torch.cat([prefix.mask, mask], dim=1)
        cache = prefix.cache()
        output, states = self.with_states(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions(mask)[:, -ids.shape[1] :],
            past_key_values=cache,
            use_cache=self.use_cache,
            logits_to_keep=last_columns(ids),
        )
        grown = as_prefix(cache, torch.cat([prefix.ids, ids], dim=1), mask, output.logits[:, -1], states)
        return grown.with_states_before(prefix.states)

    def to_sample_from(self, prefix: Prefix) -> Prefix:
        """The prefix as writing a history needs it: without its gradient."""
        return prefix.detached()

    def extend(self, prefix: Prefix, ids: Tensor, mask: Tensor) -> Written:
        """Reads answer tokens behind a prefix; the gradient flows into both.

        Args:
            prefix: Of B rows.
            ids: (B, T) tokens, padded on the right.
            mask: (B, T), nonzero on real tokens.
        """
        mask = torch.cat([prefix.mask, mask.to(prefix.mask.dtype)], dim=1)
        cache = prefix.cache()
        output = self(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions(mask)[:, -ids.shape[1] :],
            past_key_values=cache,
            use_cache=self.use_cache,
            output_hidden_states=True,
        )
        grown = as_prefix(cache, torch.cat([prefix.ids, ids], dim=1), mask, output.logits[:, -1])
        logits = torch.cat([prefix.logits[:, None], output.logits], dim=1)
        layers = output.hidden_states
        return Written(layers[-1], logits, grown, prefix.all_logits, layers, prefix.states)

    def branch(self, prefix: Prefix, ids: Tensor, depth: Tensor, sees: Tensor) -> Tensor:
        """Reads the M nodes of a tree behind every row of a prefix in one pass (tree attention).

        Args:
            prefix: Of B rows, S columns.
            ids: (M,) the nodes' tokens.
            depth: (M,) their depth, 1 right behind the prompt.
            sees: (M, M) bool; node i attends to node j.

        Returns:
            (B, 1 + M, V) next-token logits, behind the prefix and at each node.
        """
        if not ids.shape[0]:
            return prefix.logits[:, None]
        output = self(
            input_ids=ids[None].expand(prefix.mask.shape[0], -1),
            attention_mask=tree_bias(prefix.mask, depth, sees, prefix.keys[0].dtype, self.windows, with_prompt=False),
            position_ids=prefix.lengths[:, None] + depth[None] - 1,
            past_key_values=prefix.cache(),
            use_cache=self.use_cache,
        )
        return torch.cat([prefix.logits[:, None], output.logits], dim=1)

    def grow(self, prefix: Prefix, tree: Tree, ids: Tensor, parent: Tensor) -> tuple[Tensor, Tree]:
        """Reads K more nodes of each row's own tree; the nodes before them are not read again.

        Args:
            prefix: Of B rows, S columns.
            tree: What has been read of the trees.
            ids: (B, K) tokens.
            parent: (B, K) their parents among the tree's nodes, -1 for the prompt's end.

        Returns:
            (B, K, V) next-token logits, and the grown trees.
        """
        tree = tree.planted(ids, parent)
        asked, cache = tree.sees[:, -ids.shape[1] :], prefix._replace(keys=tree.keys, values=tree.values).cache()
        output = self(
            input_ids=ids,
            attention_mask=tree_bias(
                prefix.mask, tree.depth, asked, prefix.keys[0].dtype, self.windows, with_prompt=False
            ),
            position_ids=prefix.lengths[:, None] + tree.depth[:, -ids.shape[1] :] - 1,
            past_key_values=cache,
            use_cache=self.use_cache,
        )
        layers: list[Any] = cache.layers
        return output.logits, tree._replace(
            keys=tuple(layer.keys for layer in layers), values=tuple(layer.values for layer in layers)
        )

    def read(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Tensor:
        """The last hidden states of prompts, (B, P, d), without the vocabulary projection."""
        width = prompt_ids.shape[1]
        prompt_ids, prompt_mask = self.in_full(prompt_ids, prompt_mask)
        lines = lay_out(prompt_ids, prompt_mask)
        if lines is not None:
            return self.read_lines(lines)[:, -width:]
        output = self.lm.get_decoder()(
            input_ids=prompt_ids,
            attention_mask=prompt_mask,
            position_ids=positions(prompt_mask),
            use_cache=False,
        )
        states: Tensor = output.last_hidden_state
        return states[:, -width:]

    def read_lines(self, lines: Lines, before: Prefix | None = None) -> Tensor:
        """As `read`, of prompts that lie side by side; arguments as `fill_lines` has them."""
        front = 0 if before is None else before.mask.shape[1]
        output = self.lm.get_decoder()(
            input_ids=lines.ids,
            attention_mask=lines.bias(self.dtype, self.windows, front),
            position_ids=lines.position + front,
            past_key_values=None if before is None else before.cache(),
            use_cache=before is not None and self.use_cache,
        )
        return lines.padded(output.last_hidden_state)

    def in_full(self, prompt_ids: Tensor, prompt_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts with the virtual tokens that a PEFT method puts in front of them, if it does.

        Args:
            prompt_ids: (B, P), left-padded.
            prompt_mask: (B, P).

        Returns:
            Ids and mask, (B, n + P): each row's virtual tokens stand right before its first real one, so that rows stay
            left-padded, and no window is longer for a row that is padded.
        """
        if self._virtual is None:
            return prompt_ids, prompt_mask
        virtual = self._virtual.to(prompt_ids.device)
        count, rows = virtual.shape[0], prompt_ids.shape[0]
        padding = prompt_ids.shape[1] - prompt_mask.sum(dim=1)
        place = torch.arange(count + prompt_ids.shape[1], device=prompt_ids.device)[None] - padding[:, None]
        inside = (place >= 0) & (place < count)
        nothing = prompt_ids.new_zeros(rows, count)
        ids = torch.cat([nothing, prompt_ids], dim=1)
        mask = torch.cat([nothing.to(prompt_mask.dtype), prompt_mask], dim=1)
        ids = torch.where(inside, virtual[place.clamp(0, count - 1)], ids)
        return ids, mask.masked_fill(inside, 1)

    def read_layers(self, prompt_ids: Tensor, prompt_mask: Tensor) -> tuple[Tensor, ...]:
        """As `read`, the states of the embeddings and of every layer, (B, P, d) each."""
        width = prompt_ids.shape[1]
        prompt_ids, prompt_mask = self.in_full(prompt_ids, prompt_mask)
        output = self.lm.get_decoder()(
            input_ids=prompt_ids,
            attention_mask=prompt_mask,
            position_ids=positions(prompt_mask),
            use_cache=False,
            output_hidden_states=True,
        )
        return tuple(states[:, -width:] for states in output.hidden_states)


def context_length(lm: PreTrainedModel, windows_branch: bool) -> int:
    """The longest prompt and answer together, in tokens, that the model reads in full.

    Args:
        lm: The language model.
        windows_branch: Whether answers are known to branch behind a sliding window; else it ends the context.
    """
    config = lm.config.get_text_config()
    length = int(getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 2**20)
    windows = layer_windows(config)
    narrowest = min([w for w in windows.values() if w], default=None) if isinstance(windows, dict) else windows
    return length if narrowest is None or windows_branch else min(length, narrowest)
