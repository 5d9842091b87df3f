"""Free numbers drawn again and again: the shares of the answers are a distribution (self-consistency).

Each draw writes an answer token by token under the grammar, its worked solution included, and the number that most of
them come to is the vote (Wang et al. 2023). Draws are keyed by seed, row and number, so that a row has the same answers
in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from predgen.answers.free_table import FreeTable
from predgen.data.batches import pad_prompts
from predgen.decoding.support import Floats, Support
from predgen.decoding.walk import walk
from predgen.model.history import read_by_director
from predgen.model.method import WritingMethod
from predgen.model.outputs import Scores
from predgen.model.prefix import Prefix

_DRAWS = 3  # the stream of one row's generator; scheduled sampling has others


class DrawNoise:
    """Gumbel noise that turns the likeliest token into a draw, for S answers of each of B rows, row by row.

    Args:
        seed: Of all draws.
        rows: B keys.
        samples: S.
        choices: Most ways from one position.
        temperature: Above 0; logits plus noise times temperature draw as logits divided by it plus noise do.
        device: Where it is added.
    """

    def __init__(
        self, seed: int, rows: Sequence[int], samples: int, choices: int, temperature: float, device: torch.device
    ) -> None:
        self._generators = [
            np.random.Generator(np.random.Philox(key=[seed, draw], counter=[0, row, _DRAWS, 0]))
            for row in rows
            for draw in range(samples)
        ]
        self._choices, self._temperature, self._device = choices, temperature, device

    def take(self, positions: int) -> Tensor:
        """(B · S, positions, choices) float32, of the next positions."""
        shape = (positions, self._choices)
        # −log of an exponential draw is Gumbel's; single precision is enough, and a vocabulary is long.
        drawn = np.stack([gen.standard_exponential(shape, dtype=np.float32) for gen in self._generators])
        return torch.from_numpy(drawn).clamp_min(1e-30).log().mul(-self._temperature).to(self._device)


@torch.no_grad()
def vote(
    method: WritingMethod,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[int],
    samples: int,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 32,
    progress: Callable[[int], None] = lambda rows: None,
) -> Scores:
    """Draws answers behind prompts.

    Args:
        method: A method that writes, of free numbers.
        prompts: N token lists.
        rows: N keys of the draws: the rows' places in the input.
        samples: S answers of each.
        temperature: What logits are divided by, above 0.
        seed: Of all draws.
        batch_size: Most answers a pass; of one row all at once in any case.
        progress: Called with the number of rows done after each pass.

    Returns:
        Of N rows a support: the different numbers and their shares; and of each the first answer that came to the vote.
    """
    method.eval()
    device = next(method.parameters()).device
    together = max(1, batch_size // samples)
    held: list[tuple[Floats, Floats, Floats]] = []
    written: list[Tensor] = []
    for start in range(0, len(prompts), together):
        batch = pad_prompts(prompts[start : start + together])
        prompt = method.read(batch.prompt_ids.to(device), batch.prompt_mask.to(device))
        keys = rows[start : start + together]
        numbers, ids = _draw(method, prompt, keys, samples, temperature, seed)
        for row in range(len(keys)):
            values, first, counts = np.unique(numbers[row], return_index=True, return_counts=True)
            held.append((values, np.log(counts / samples), np.zeros(len(values))))
            written.append(ids[row, first[counts.argmax()]])
        progress(len(keys))
    return Scores.nothing()._replace(support=Support.of_rows(held), written=torch.stack(written).cpu())


def _draw(
    method: WritingMethod, prompt: Prefix, keys: Sequence[int], samples: int, temperature: float, seed: int
) -> tuple[Floats, Tensor]:
    """(B, S) numbers and (B, S, L) answers as token ids, -1 behind their end."""
    table = method.table
    assert isinstance(table, FreeTable)  # what check_options says, to the type checker
    noise = DrawNoise(seed, keys, samples, table.choices, temperature, prompt.mask.device)
    walked = walk(method.writer, prompt.repeated(samples), table, noise=noise)
    read = read_by_director(table, walked.mask, walked.nodes)
    numbers = table.numbers(walked.ids, read).view(len(keys), samples).numpy()
    ids = torch.full((walked.ids.shape[0], table.depth), -1, device=walked.ids.device)
    ids[:, : walked.ids.shape[1]] = walked.ids.masked_fill(~walked.mask, -1)
    return numbers, ids.view(len(keys), samples, -1)
