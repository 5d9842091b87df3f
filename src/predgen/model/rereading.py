"""Writers that read prompt and answer together, anew in each pass, where no cache of the prompt can be shared."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from predgen.model.columns import last_columns, positions
from predgen.model.prefix import Prefix, Tree, Written
from predgen.model.tree_mask import tree_bias
from predgen.model.writer import Writer

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


class RereadingWriter(Writer):
    """Shares the prompt's cache while it writes or scores, and reads anew while it learns.

    For gradient checkpointing of models that drop their cache then, as GPT-2 does (see `predgen.model.checkpointing`):
    the answer would not see its prompt. Loss and gradients are the same; the prompt is read once more.
    """

    @property
    def learns_behind_heads(self) -> bool:
        """Never: what learns reads its prompt itself."""
        return False

    def _fill(self, prompt_ids: Tensor, prompt_mask: Tensor, all_logits: bool = False) -> Prefix:
        """As `Writer._fill`; in training nothing is read yet, since each later pass reads the prompt itself."""
        if not self.training:
            return super()._fill(prompt_ids, prompt_mask, all_logits)
        unread = torch.zeros(prompt_ids.shape[0], 0, device=prompt_ids.device)
        return Prefix((), (), prompt_ids, prompt_mask, unread, unread[:, :, None] if all_logits else None)

    def to_sample_from(self, prefix: Prefix) -> Prefix:
        """Reads the prompt for the history that will be written behind it, without a gradient."""
        with torch.no_grad():
            return self._fill(prefix.ids, prefix.mask)

    def read_on(self, prefix: Prefix, ids: Tensor, mask: Tensor) -> Prefix:
        """As `Writer.read_on`; in training nothing is read yet."""
        if not self.training:
            return super().read_on(prefix, ids, mask)
        return self._fill(torch.cat([prefix.ids, ids], dim=1), torch.cat([prefix.mask, mask], dim=1))

    def extend(self, prefix: Prefix, ids: Tensor, mask: Tensor) -> Written:
        """As `Writer.extend`."""
        return self._reread(prefix, ids, mask) if self.training else super().extend(prefix, ids, mask)

    def branch(self, prefix: Prefix, ids: Tensor, depth: Tensor, sees: Tensor) -> Tensor:
        """As `Writer.branch`."""
        if not self.training:
            return super().branch(prefix, ids, depth, sees)
        rows, nodes = prefix.mask.shape[0], ids.shape[0]
        whole_ids = torch.cat([prefix.ids, ids[None].expand(rows, -1)], dim=1)
        output = self(
            input_ids=whole_ids,
            attention_mask=tree_bias(prefix.mask, depth, sees, self.dtype, self.windows, with_prompt=True),
            position_ids=torch.cat([positions(prefix.mask), prefix.lengths[:, None] + depth[None] - 1], dim=1),
            use_cache=False,
            logits_to_keep=last_columns(whole_ids, nodes + 1),
        )
        logits: Tensor = output.logits
        return logits

    def _reread(self, prefix: Prefix, ids: Tensor, mask: Tensor) -> Written:
        whole_ids = torch.cat([prefix.ids, ids], dim=1)
        whole_mask = torch.cat([prefix.mask, mask.to(prefix.mask.dtype)], dim=1)
        width = ids.shape[1]
        output = self(
            input_ids=whole_ids,
            attention_mask=whole_mask,
            use_cache=False,
            output_hidden_states=True,
            # One column more than the answer has: its first token is predicted by the prompt's last.
            **self._places(whole_mask),
            **({} if prefix.all_logits is not None else {"logits_to_keep": last_columns(whole_ids, width + 1)}),
        )
        logits = output.logits[:, -width - 1 :]
        grown = Prefix((), (), whole_ids, whole_mask, logits[:, -1])
        prompt_logits = None if prefix.all_logits is None else output.logits[:, : prefix.ids.shape[1]]
        layers = tuple(states[:, -width:] for states in output.hidden_states)
        prompt_states = output.hidden_states[-1][:, :-width] if self.keeps_states else None
        return Written(layers[-1], logits, grown, prompt_logits, layers, prompt_states)

    def _places(self, mask: Tensor) -> dict[str, Tensor]:
        return {"position_ids": positions(mask)}


class PathwiseWriter(RereadingWriter):
    """For models whose answers cannot branch from one prompt: every pass reads plain rows, with neither cache nor tree.

    Recurrent models keep no keys and values, and others derive positions from the mask alone. The same numbers come
    out; a trie is scored path by path, which costs as many passes over the prompt as the trie has ways.
    """

    @property
    def keeps_prompts(self) -> bool:
        """Never: every pass reads all of them."""
        return False

    def __init__(self, lm: PreTrainedModel | PeftModel) -> None:
        super().__init__(lm)
        inner: Any = self.lm.get_base_model() if hasattr(self.lm, "get_base_model") else self.lm
        self._takes_positions = "position_ids" in inspect.signature(inner.forward).parameters

    def _fill(self, prompt_ids: Tensor, prompt_mask: Tensor, all_logits: bool = False) -> Prefix:
        """As `Writer._fill`, with nothing cached."""
        if self.training:
            return super()._fill(prompt_ids, prompt_mask, all_logits)
        output = self(input_ids=prompt_ids, attention_mask=prompt_mask, use_cache=False, **self._places(prompt_mask))
        return Prefix((), (), prompt_ids, prompt_mask, output.logits[:, -1], output.logits if all_logits else None)

    def prefill_layers(self, prompt_ids: Tensor, prompt_mask: Tensor) -> tuple[Prefix, tuple[Tensor, ...]]:
        """As `Writer.prefill_layers`, with nothing cached."""
        width = prompt_ids.shape[1]
        prompt_ids, prompt_mask = self.in_full(prompt_ids, prompt_mask)
        output = self(
            input_ids=prompt_ids,
            attention_mask=prompt_mask,
            use_cache=False,
            output_hidden_states=True,
            **self._places(prompt_mask),
        )
        prefix = Prefix((), (), prompt_ids, prompt_mask, output.logits[:, -1])
        return prefix, tuple(states[:, -width:] for states in output.hidden_states)

    def read_on(self, prefix: Prefix, ids: Tensor, mask: Tensor) -> Prefix:
        """As `Writer.read_on`, reading all again."""
        return self._fill(torch.cat([prefix.ids, ids], dim=1), torch.cat([prefix.mask, mask], dim=1))

    def extend(self, prefix: Prefix, ids: Tensor, mask: Tensor) -> Written:
        """As `Writer.extend`, reading all again."""
        return self._reread(prefix, ids, mask)

    def branch(self, prefix: Prefix, ids: Tensor, depth: Tensor, sees: Tensor) -> Tensor:
        """As `Writer.branch`: one pass over prompt and path for each path that is no other's beginning."""
        rows, found = prefix.mask.shape[0], dict[int, Tensor]()
        behind_prompt = prefix.logits[:, None]
        if not behind_prompt.shape[2]:
            nothing = ids[:0][None].expand(rows, -1)
            behind_prompt = self._reread(prefix, nothing, nothing).logits
        for last in torch.nonzero(sees.sum(dim=0) == 1)[:, 0].tolist():
            path = torch.nonzero(sees[last])[:, 0]
            path = path[depth[path].argsort()]
            shown = ids[path][None].expand(rows, -1)
            logits = self._reread(prefix, shown, torch.ones_like(shown)).logits
            for column, node in enumerate(path.tolist()):
                found[node] = logits[:, column + 1]
        return torch.cat([behind_prompt, *(found[node][:, None] for node in range(ids.shape[0]))], dim=1)

    def grow(self, prefix: Prefix, tree: Tree, ids: Tensor, parent: Tensor) -> tuple[Tensor, Tree]:
        """As `Writer.grow`: one pass over prompt and path for each node."""
        tree = tree.planted(ids, parent)
        columns = []
        for node in range(tree.ids.shape[1] - ids.shape[1], tree.ids.shape[1]):
            depth = tree.depth[:, node]
            # Ancestors stand in front of what follows them; the others go behind, where the mask leaves them out.
            order = (~tree.sees[:, node]).int().argsort(dim=1, stable=True)[:, : int(depth.max())]
            shown = torch.arange(order.shape[1], device=ids.device) < depth[:, None]
            path = tree.ids.gather(1, order) * shown
            logits = self._reread(prefix, path, shown).logits
            columns.append(logits[torch.arange(ids.shape[0], device=ids.device), depth])
        return torch.stack(columns, dim=1), tree

    def read(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Tensor:
        """As `Writer.read`."""
        width = prompt_ids.shape[1]
        prompt_ids, prompt_mask = self.in_full(prompt_ids, prompt_mask)
        states: Tensor = self.lm.get_decoder()(
            input_ids=prompt_ids, attention_mask=prompt_mask, use_cache=False, **self._places(prompt_mask)
        ).last_hidden_state
        return states[:, -width:]

    def read_layers(self, prompt_ids: Tensor, prompt_mask: Tensor) -> tuple[Tensor, ...]:
        """As `Writer.read_layers`."""
        width = prompt_ids.shape[1]
        prompt_ids, prompt_mask = self.in_full(prompt_ids, prompt_mask)
        output = self.lm.get_decoder()(
            input_ids=prompt_ids,
            attention_mask=prompt_mask,
            use_cache=False,
            output_hidden_states=True,
            **self._places(prompt_mask),
        )
        return tuple(states[:, -width:] for states in output.hidden_states)

    def _places(self, mask: Tensor) -> dict[str, Tensor]:
        return super()._places(mask) if self._takes_positions else {}
