"""The automaton of free numbers as tensors that move with the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from predgen.answers.grammar import AnswerGrammar


class FreeTable(nn.Module):
    """Gold answers and automaton, as buffers that are not saved; what `AnswerTable` is for closed spaces.

    A gold answers, L tokens of the longest answer that may be written, N states, V tokens.

    Args:
        grammar: The space under the writer's tokenizer, with the answers that will be taught.
        vocabulary_size: V, the width of the writer's logits.
    """

    targets: Tensor  # (A, L + 1) int64; tokens, then the terminator, then zeros
    target_mask: Tensor  # (A, L + 1) bool
    target_weights: Tensor  # (A, L + 1) float; place weights of the number, 0 before it
    path_nodes: Tensor  # (A, L + 1) int64; the state before each target
    moves: Tensor  # (N, V) int16; the state behind a token, -1 where it may not stand
    marker_token: Tensor  # (N,) int64; the marker's next token, 0 in states that are no text
    spells: Tensor  # (N,) bool; a token that leads there is a part of the number

    def __init__(self, grammar: AnswerGrammar, vocabulary_size: int) -> None:
        super().__init__()
        self.terminator, self.solution_tokens = grammar.terminator, grammar.solution_tokens
        self.text_states = grammar.text_states
        self.depth = max([grammar.longest, *(len(answer) for answer in grammar.answers)])
        self.pieces = dict(grammar.pieces)
        self.numerals = {token: int(piece) for token, piece in grammar.pieces.items() if piece.strip().isdigit()}
        self.answers = len(grammar.answers)
        for name, tensor in {**_gold(grammar, self.depth), **_automaton(grammar, vocabulary_size)}.items():
            self.register_buffer(name, tensor, persistent=False)

    @property
    def choices(self) -> int:
        """Most tokens to choose among."""
        return int(self.moves.shape[1])

    def choose(self, node: Tensor, logits: Tensor, position: Tensor | int, noise: Tensor | None = None) -> Tensor:
        """The likeliest token that may stand behind a state; of the marker, its next one where the solution must end.

        It must where it is as long as it may be, and where the model would rather end without having answered.

        Args:
            node: (…) states.
            logits: (…, V) of the next token.
            position: (…) or one for all; tokens written before it.
            noise: (…, V) to be added, or None.
        """
        scores = logits if noise is None else logits + noise
        best = scores.masked_fill(self.moves[node] < 0, -torch.inf).argmax(dim=-1)
        if not self.text_states:
            return best
        over = (scores.argmax(dim=-1) == self.terminator) | (torch.as_tensor(position) >= self.solution_tokens)
        return torch.where((node < self.text_states) & over, self.marker_token[node], best)

    def follow(self, node: Tensor, token: Tensor) -> Tensor:
        """The state behind a token, -1 where it may not stand; a token of -1 stands nowhere."""
        reached = self.moves[node, token.clamp_min(0)].long()
        return torch.where(token < 0, torch.full_like(reached, -1), reached)

    def parts(self, node: Tensor) -> Tensor:
        """Which states (…) leave a choice of how to go on: nearly all do, so that the rest is not looked for."""
        return torch.ones_like(node, dtype=torch.bool)

    def reads(self, nodes: Tensor) -> Tensor:
        """Which tokens a director reads, by the states that they lead to: those of the number."""
        return self.spells[nodes]

    def numbers(self, ids: Tensor, read: Tensor) -> Tensor:
        """The numbers that were written.

        Args:
            ids: (B, T) tokens.
            read: (B, T) bool, true on the number's.

        Returns:
            (B,) float64.
        """
        texts = (
            "".join(self.pieces[token] for token, part in zip(row, parts, strict=True) if part)
            for row, parts in zip(ids.tolist(), read.tolist(), strict=True)
        )
        # Plus zero: what was written as -0 is 0.
        return torch.tensor([float(text) + 0.0 for text in texts], dtype=torch.float64)


def _gold(grammar: AnswerGrammar, depth: int) -> dict[str, Tensor]:
    shape = (len(grammar.answers), depth + 1)
    targets, nodes = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    mask, weights = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape)
    for row, (ids, row_weights, path) in enumerate(zip(grammar.answers, grammar.weights, grammar.paths, strict=True)):
        targets[row, : len(ids) + 1] = torch.tensor([*ids, grammar.terminator])
        mask[row, : len(ids) + 1] = True
        weights[row, : len(ids) + 1] = torch.tensor([*row_weights, row_weights[-1]])
        nodes[row, : len(ids) + 1] = torch.tensor(path)
    return {"targets": targets, "target_mask": mask, "target_weights": weights, "path_nodes": nodes}


def _automaton(grammar: AnswerGrammar, vocabulary_size: int) -> dict[str, Tensor]:
    states = len(grammar.moves)
    moves = torch.full((states, vocabulary_size), -1, dtype=torch.int16)
    marker_token = torch.zeros(states, dtype=torch.long)
    spells = torch.zeros(states, dtype=torch.bool)
    for state, ways in enumerate(grammar.moves):
        if state < grammar.text_states:
            moves[state, : grammar.known] = 0
            moves[state, list(grammar.barred)] = -1
            ways = grammar.after_text[state]
            marker_token[state] = grammar.marker[state]
        else:
            # The end is a state too, and what leads there is the terminator.
            spells[[reached for token, reached in ways.items() if token != grammar.terminator]] = True
        for token, reached in ways.items():
            moves[state, token] = reached
    return {"moves": moves, "marker_token": marker_token, "spells": spells}
