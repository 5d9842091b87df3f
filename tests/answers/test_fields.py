from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from predgen.answers.fields import build_fields
from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.data.tokens import decode, encode
from predgen.errors import AnswerError

CUE = "\nAnswer:"
SPACES = (LabelSet(("good", "bad")), NumberGrid(0, 1, 1))


def test_cue_and_answer_spell_what_a_reader_would_write(tokenizer: PreTrainedTokenizerFast) -> None:
    tables, cues = build_fields(["mood", "intensity of it"], SPACES, tokenizer, CUE, 512, [(), ()])
    assert [decode(tokenizer, cue).strip() for cue in cues] == ["mood:", "intensity of it:"]
    for table, cue, text in zip(tables, cues, ("good", "0.0"), strict=True):
        answer = table.targets[0][table.target_mask[0]][:-1].tolist()
        head = encode(tokenizer, "x" + CUE)
        assert [*head, *cue, *answer] == encode(tokenizer, f"x{CUE} {decode(tokenizer, cue).strip()} {text}")


def test_one_answer_has_no_cue(byte_level: PreTrainedTokenizerFast) -> None:
    (table,), cues = build_fields(None, SPACES[:1], byte_level, CUE, 512, [()])
    assert cues == ([],) and table.answers == 2


@pytest.mark.parametrize("name", ["", " mood", "two\nlines", "two  blanks"])
def test_names_that_do_not_read_well_are_refused(byte_level: PreTrainedTokenizerFast, name: str) -> None:
    with pytest.raises(AnswerError, match="words with one blank between"):
        build_fields([name, "other"], SPACES, byte_level, CUE, 512, [(), ()])
