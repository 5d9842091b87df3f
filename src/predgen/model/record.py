"""Several answers to one prompt: the fields of a record, or a yes or no for each of several labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from predgen.answers.tables import AnswerTable
from predgen.decoding.fields import FieldTree, decode_fields
from predgen.model.method import Method, WritingMethod
from predgen.model.outputs import Scores, StepOutput
from predgen.model.shared_head import SharedHead


class CuedMethod(Method[Any]):
    """A method that answers behind a cue of its own, e.g. ``intensity:``.

    Args:
        method: The method.
        cue: The tokens between prompt and answer.
    """

    def __init__(self, method: Method[Any], cue: Sequence[int]) -> None:
        super().__init__(method.writer)
        self.method, self.reader_name = method, method.reader_name
        self._cue = torch.tensor(cue)

    @property
    def cue(self) -> list[int]:
        """The tokens between prompt and answer, as far as the method reads them: a head reads the prompt alone."""
        return self._cue.tolist() if isinstance(self.method, WritingMethod) else []

    def read(
        self, prompt_ids: Tensor, prompt_mask: Tensor, to_learn: bool = False, head: SharedHead | None = None
    ) -> Any:
        """The prompts and the cue behind them."""
        return self.at_cue(self.method.read(prompt_ids, prompt_mask, to_learn, head))

    def share(self, ids: Tensor) -> SharedHead | None:
        """As the method has it."""
        return self.method.share(ids)

    @property
    def learns_behind_heads(self) -> bool:
        """As the method has it."""
        return self.method.learns_behind_heads

    def at_cue(self, prompt: Any) -> Any:
        """Prompts, read, and the cue behind them."""
        return self.method.behind(prompt, self._cue.to(next(self.parameters()).device))

    def behind(self, prompt: Any, cue: Tensor) -> Any:
        """As the method has it."""
        return self.method.behind(prompt, cue)

    def learn(
        self, prompt: Any, answer_index: Tensor, target: Tensor, row_ids: Tensor, weight: Tensor, step: int
    ) -> StepOutput:
        """As the method has it, of prompts with the cue behind them."""
        return self.method.learn(prompt, answer_index, target, row_ids, weight, step)

    def judge(self, prompt: Any) -> Scores:
        """As the method has it, of prompts with the cue behind them."""
        return self.method.judge(prompt)

    def write(self, prompt: Any) -> list[list[int]] | None:
        """As the method has it, of prompts with the cue behind them."""
        return self.method.write(prompt)


class RecordMethod(nn.Module):
    """One of the three methods for each field, all on one writer, behind a prompt that is read once.

    A field is answered behind a cue of its own, given the prompt and nothing of the other fields. So each field's
    distribution is exact whatever the others are, the cost grows with the sum of the fields' answers and not with their
    product, and no order of the fields has to be chosen. What it cannot say is how two fields depend on each other
    beyond what the text says of both.

    Args:
        fields: A method a field; their writer is one and the same.
        cues: Of each field, the tokens between prompt and answer.
        tree: The fields' cues and tries where all are scored in one pass; None: one after the other.
    """

    def __init__(
        self, fields: Sequence[Method[Any]], cues: Sequence[Sequence[int]], tree: FieldTree | None = None
    ) -> None:
        super().__init__()
        self.writer, self.tree = fields[0].writer, tree
        self.cued = nn.ModuleList(CuedMethod(field, cue) for field, cue in zip(fields, cues, strict=True))

    @property
    def fields(self) -> list[CuedMethod]:
        """The fields' methods, in order; each also answers alone."""
        return list(self.cued)  # type: ignore[arg-type]  # what a ModuleList holds is known as modules alone

    @property
    def reader_names(self) -> tuple[str | None, ...]:
        """What each field's own decision is called: "director", "head", or None where it has none."""
        return tuple(field.reader_name for field in self.fields)

    def forward(
        self,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        weight: Tensor,
        step: int,
        head_ids: Tensor | None = None,
    ) -> StepOutput:
        """One training pass over B rows and K fields; the loss is the mean over both.

        Args:
            prompt_ids: (B, P), padded on the left.
            prompt_mask: (B, P).
            answer_index: (B, K) gold answers.
            target: (B, K) gold numbers or class indices.
            row_ids: (B,) keys of the coins.
            weight: (B,) what each row's loss counts.
            step: Optimizer steps taken so far.
            head_ids: (B, H) what stands in front of every prompt.
        """
        fields = self.fields
        head = None if head_ids is None or not head_ids.shape[1] else self.share(head_ids[0])
        prompt = fields[0].method.read(prompt_ids, prompt_mask, to_learn=True, head=head)
        outputs = [
            field.learn(
                field.at_cue(prompt),
                answer_index[:, place],
                target[:, place],
                row_ids * len(fields) + place,  # each field of a row has coins of its own
                weight,
                step,
            )
            for place, field in enumerate(fields)
        ]
        return StepOutput(
            torch.stack([output.loss for output in outputs]).mean(),
            _joined([output.writer_loss for output in outputs]),
            _joined([output.director_loss for output in outputs]),
            _joined([output.own_history for output in outputs]),
            outputs[0].sampling_probability,
        )

    def share(self, ids: Tensor) -> SharedHead | None:
        """As `Method.share`; the head is the same in front of every field."""
        return self.fields[0].method.share(ids)

    @property
    def learns_behind_heads(self) -> bool:
        """As `Method.learns_behind_heads`."""
        return all(field.learns_behind_heads for field in self.fields)

    @torch.no_grad()
    def answers(self, prompt_ids: Tensor, prompt_mask: Tensor, head: SharedHead | None = None) -> tuple[Scores, ...]:
        """Everything that can be said of prompts, one a field; nothing of the answers goes in."""
        fields = self.fields
        prompt = fields[0].method.read(prompt_ids, prompt_mask, head=head)
        if self.tree is None:
            return tuple(field.judge(field.at_cue(prompt)) for field in fields)
        methods = [cast(WritingMethod, field.method) for field in fields]
        tables = [cast(AnswerTable, method.table) for method in methods]
        decoded = decode_fields(self.writer, prompt, self.tree, tables, methods[0].writer_loss.normalise)
        # Only a director reads on behind its field's cue.
        return tuple(
            method.conclude(prompt if method.reader_name is None else field.at_cue(prompt), each)
            for field, method, each in zip(fields, methods, decoded, strict=True)
        )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """(B · K,); None where no field has it."""
    present = [part for part in parts if part is not None]
    return torch.cat(present) if present else None
