"""Does a model branch as trie scoring assumes? Asked of every architecture that the tests do not cover."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from predgen.answers.tables import AnswerTable
from predgen.data.batches import pad_prompts
from predgen.decoding.score import score_trie, widen
from predgen.errors import ModelError
from predgen.model.writer import Writer

TESTED_ARCHITECTURES = ("llama", "gpt2", "qwen2")
_ANSWERS = 8  # compared at most; each costs a full pass
_TOLERANCE = 1e-3  # in log-probability; far above rounding in float32, far below what a wrong mask does


def check_branching(writer: Writer, table: AnswerTable, prompts: Sequence[Sequence[int]]) -> None:
    """Compares trie scores with one full pass an answer, for architectures outside the tested ones.

    Args:
        writer: The base model.
        table: The answer space.
        prompts: A few prompts, of different lengths where possible.

    Raises:
        ModelError: If the two disagree: the model derives positions itself, or ignores the tree's mask.
    """
    if writer.lm.config.model_type in TESTED_ARCHITECTURES:
        return
    chosen = torch.linspace(0, table.answers - 1, min(_ANSWERS, table.answers)).long()
    with torch.no_grad():
        batch = pad_prompts(prompts)
        scored = score_trie(writer, writer.prefill(*batch), table).log_probs[:, chosen]
        for row, prompt in enumerate(prompts):
            plain = torch.stack([plain_log_prob(writer, table, prompt, int(answer)) for answer in chosen])
            worst = (scored[row] - plain).abs().max().item()
            if not worst < _TOLERANCE:
                raise ModelError(
                    f"The architecture {writer.lm.config.model_type!r} does not branch: scoring the answers' trie in "
                    f"one pass and one by one differ by {worst:.3g} in log-probability.",
                    "predgen needs a model that follows the positions and the mask it is given.",
                    f"Tested architectures: {', '.join(TESTED_ARCHITECTURES)}.",
                )


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
