"""Does a model branch as trie scoring assumes? Asked of every architecture that the tests do not cover."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from predgen.answers.tables import AnswerTable
from predgen.config import Scoring
from predgen.data.batches import pad_prompts
from predgen.decoding.score import score_trie, widen
from predgen.errors import ModelError
from predgen.model.rereading import PathwiseWriter
from predgen.model.writer import Writer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TESTED_ARCHITECTURES = ("llama", "gpt2", "qwen2", "mistral", "gemma2")
_ANSWERS = 8  # compared at most; each costs a full pass
_TOLERANCE = 1e-3  # in log-probability; far above rounding in float32, far below what a wrong mask does
_COARSE_TOLERANCE = 0.3  # in half precision


def windows_branch(lm: PreTrainedModel) -> bool:
    """Whether answers are known to branch behind a sliding window that is shorter than the prompt."""
    return lm.config.model_type in TESTED_ARCHITECTURES


def choose_scoring(
    lm: PreTrainedModel, table: AnswerTable, prompts: Sequence[Sequence[int]], say: Callable[[str], None]
) -> Scoring:
    """How a model's answers are scored: as a tree behind one cached prompt, or path by path where it cannot branch.

    Architectures outside the tested ones are compared with one full pass an answer.

    Args:
        lm: The base model.
        table: The answer space.
        prompts: A few prompts, of different lengths where possible.
        say: Told when answers will be scored path by path.

    Raises:
        ModelError: If even scoring path by path disagrees with plain passes: the model does not follow its mask.
    """
    kind = lm.config.model_type
    if kind in TESTED_ARCHITECTURES:
        return "tree"
    try:
        worst = _disagreement(Writer(lm), table, prompts)
        reason = f"scoring the answers as a tree differs from plain passes by {worst:.3g} in log-probability"
    except (ModelError, TypeError, ValueError, RuntimeError, AttributeError) as problem:
        # An architecture may fail anywhere on a cache, a mask or positions that it does not know.
        # What is not implemented in a model often says nothing more.
        worst, reason = float("inf"), next(iter(str(problem).splitlines()), type(problem).__name__)
    tolerance = _TOLERANCE if lm.dtype == torch.float32 else _COARSE_TOLERANCE
    if worst < tolerance:
        return "tree"
    worst = _disagreement(PathwiseWriter(lm), table, prompts)
    if not worst < tolerance:
        raise ModelError(
            f"The architecture {kind!r} cannot be used: with padding, scores differ from plain passes by {worst:.3g} "
            "in log-probability.",
            "predgen needs a model that follows the attention mask it is given.",
            f"Tested architectures: {', '.join(TESTED_ARCHITECTURES)}.",
        )
    say(
        f"The architecture {kind!r} cannot branch ({reason}): every answer is scored by reading its prompt again. The "
        "numbers are the same; training, scoring and prediction take several times as long."
    )
    return "paths"


def _disagreement(writer: Writer, table: AnswerTable, prompts: Sequence[Sequence[int]]) -> float:
    """The largest difference in log-probability between a padded batch's trie scores and plain passes."""
    chosen = torch.linspace(0, table.answers - 1, min(_ANSWERS, table.answers)).long()
    training = writer.training
    writer.eval()
    with torch.no_grad():
        scored = score_trie(writer, writer.prefill(*pad_prompts(prompts)), table).log_probs[:, chosen]
        plain = torch.stack(
            [
                torch.stack([plain_log_prob(writer, table, prompt, int(answer)) for answer in chosen])
                for prompt in prompts
            ]
        )
    writer.train(training)
    worst = (scored - plain).abs().max().item()
    return float("inf") if worst != worst else worst


def plain_log_prob(writer: Writer, table: AnswerTable, prompt: Sequence[int], answer: int) -> torch.Tensor:
    """Log p(answer | prompt) by one pass over prompt and answer, with neither cache nor tree.

    Args:
        writer: The language model.
        table: The answer space.
        prompt: Token ids.
        answer: Index in the space.

    Returns:
        A scalar; the terminator counts where the trie scores one.
    """
    path = []
    node = int(table.answer_node[answer])
    while node > 0:
        path.append(int(table.node_token[node]))
        node = int(table.node_parent[node])
    path.reverse()
    ids = torch.tensor([[*prompt, *path]])
    logits = widen(writer.lm(input_ids=ids, use_cache=False).logits[0])
    behind = torch.arange(len(prompt) - 1, len(prompt) + len(path) - 1)
    return logits.log_softmax(dim=-1)[behind, torch.tensor(path)].sum()
