"""What a method is trained with: base model, answer table, prompts as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from predgen.answers.build import Table
from predgen.answers.fields import FieldTables, build_fields
from predgen.answers.grammar import FreeAnswer, longest_solution
from predgen.answers.option_table import OptionTable
from predgen.answers.spaces import FreeNumber, Grid, LabelSet, NumberGrid, Space
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import LongText, RunConfig, Scoring, Task
from predgen.data.options import Question
from predgen.data.prompts import EncodedRows, PromptEncoder, frame_of
from predgen.data.tokens import answer_separator, many_behind
from predgen.decoding.check import choose_scoring, windows_branch
from predgen.errors import AnswerError
from predgen.model.bases import Base, load_base
from predgen.model.checks import check_search
from predgen.model.defaults import EXPECTED_OVER, director_kind
from predgen.model.writer import Writer, context_length
from predgen.peft_methods import peft_method
from predgen.training.prepare import Examples, Prepared, Say

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LONG_ANSWER = 24  # tokens from which on writing an answer in every step is what takes the time
_DIGITS = NumberGrid(0, 9, 0)


@dataclass(frozen=True)
class Bench:
    """What a method is trained with.

    Args:
        base: The base model and its tokenizer.
        spaces: Each field's answers, with room for the longest solution where there are solutions.
        tables: Each field's answers under the tokenizer.
        cues: Each field's tokens between prompt and answer; none where there is one answer.
        encoder: Body → prompt tokens.
        prompts: Of "training", "dev" and "test" rows.
        scoring: How answers are scored.
    """

    base: Base
    spaces: tuple[Space, ...]
    tables: tuple[Table, ...]
    cues: tuple[list[int], ...]
    encoder: PromptEncoder
    prompts: dict[str, EncodedRows]
    scoring: Scoring


def set_up_bench(config: RunConfig, prepared: Prepared, say: Say, trust_remote_code: bool) -> Bench:
    """Loads the base and puts rows and answers into its tokens.

    Args:
        config: The settings.
        prepared: The rows.
        say: Takes one line at a time.
        trust_remote_code: Whether code that comes with the base model may run.

    Raises:
        PredgenError: If the model cannot be had or used, or its tokenizer cannot write cue or answers.
    """
    base, prompt = load_base_for(config, say, trust_remote_code), config.prompt
    frame = frame_of(base.tokenizer, prompt.cue, prompt.chat)
    if frame.behind != prompt.cue:
        say("Prompts go through the model's chat template. (prompt.chat)")
    spaces = (_with_solutions(prepared, base.tokenizer, frame.behind), *prepared.spaces[1:])
    tables, cues = _with_options(prepared, base.tokenizer, frame.behind) or build_fields(
        [field.name for field in prepared.schema.fields] if prepared.schema.kind != "single" else None,
        spaces,
        base.tokenizer,
        frame.behind,
        Writer(base.model).vocabulary_size,
        free_answers(spaces, prepared.train),
        config.search,
    )
    for field, space, table in zip(prepared.schema.fields, spaces, tables, strict=True):
        own = config if prepared.schema.kind == "single" else config.of_field(field.name)
        check_search(own, field.task, space, table)
        _say_how_answers_are_found(own, field.task, space, table, say)
    longest = max(table.depth + len(cue) for table, cue in zip(tables, cues, strict=True))
    longest = max(longest, _longest_option(prepared, base.tokenizer, frame.behind))
    depth = max(table.depth for table in tables)
    if config.method == "predgen" and config.sampling.mode != "parallel" and depth > _LONG_ANSWER:
        say(
            f"Answers take up to {depth} tokens, and sampling.mode={config.sampling.mode} writes them one by one "
            "in every step; sampling.mode=parallel takes two passes instead."
        )
    virtual = peft_method(config.peft.method).virtual_tokens(config.peft)
    context = context_length(base.model, windows_branch(base.model)) - longest - 1 - virtual
    encoder = PromptEncoder(
        base.tokenizer, prompt.cue, min(prompt.max_tokens or context, context), prompt.long, prompt.chat
    )
    prompts = {
        name: _encode(encoder, examples, name, prompt.long, say)
        for name, examples in (("training", prepared.train), ("dev", prepared.dev), ("test", prepared.test))
    }
    # Whether a model branches does not depend on what it answers: without a short list of answers ten digits will do.
    listed = next((table for table in tables if isinstance(table, AnswerTable) and table.exact), None)
    listed = listed or AnswerTable(build_trie(_DIGITS, base.tokenizer, frame.behind))
    scoring = choose_scoring(base.model, listed, prompts["training"].prompts[:2], say)
    return Bench(base, spaces, tables, cues, encoder, prompts, scoring)


def _say_how_answers_are_found(config: RunConfig, task: Task, space: Space, table: Table, say: Say) -> None:
    if not isinstance(table, AnswerTable) or config.method == "predictor":
        return
    value = config.method == "predgen" and director_kind(config, task, space) == "value"
    if value and isinstance(space, Grid) and len(space) > EXPECTED_OVER:
        say(f"{len(space):,} numbers are too many to score in every step: the director reads a value. (director.kind)")
    if not table.exact:
        limits = table.search
        say(
            f"The answers' trie has {table.inner.shape[0]:,} inner nodes, more than the {limits.exact_nodes:,} "
            f"that are scored one and all: a beam opens up to {limits.beam_nodes} prefixes a row, until what it has "
            f"not opened holds at most {limits.uncovered:g} of the probability, and says how much is covered. (search)"
        )


def load_base_for(config: RunConfig, say: Say, trust_remote_code: bool) -> Base:
    """The base that the settings name, in the precision that suits how it is adapted."""
    # Weights that learn stay in float32; a frozen base is held as the passes want it.
    peft = peft_method(config.peft.method)
    precision = "fp32" if peft.whole else config.train.precision
    four_bit = config.peft.qlora if peft.quantised else None
    return load_base(config.model.name, config.model.revision, trust_remote_code, say, precision, four_bit)


def _with_options(prepared: Prepared, tokenizer: PreTrainedTokenizerBase, behind: str) -> FieldTables | None:
    """The training rows' gold options, where rows have options of their own; else None."""
    if not prepared.schema.options:
        return None
    if tokenizer.eos_token_id is None:
        raise AnswerError("The tokenizer has no end-of-sequence token.", "Answers need one to end with.")
    space, train = prepared.spaces[0], prepared.train
    assert isinstance(space, LabelSet)
    gold = [
        body.options[space.index(target)]
        for body, target in zip(train.bodies, train.targets[0], strict=True)
        if isinstance(body, Question)
    ]
    ids = many_behind(tokenizer, behind, [answer_separator(behind) + text for text in gold])
    return FieldTables((OptionTable(ids, int(tokenizer.eos_token_id), len(space.labels)),), ([],))


def _longest_option(prepared: Prepared, tokenizer: PreTrainedTokenizerBase, behind: str) -> int:
    """Tokens of the longest option of any row; 0 where rows have none of their own."""
    bodies = [*prepared.train.bodies, *prepared.dev.bodies, *prepared.test.bodies]
    texts = {option for body in bodies if isinstance(body, Question) for option in body.options}
    return max(map(len, many_behind(tokenizer, behind, [answer_separator(behind) + text for text in texts])), default=0)


def _with_solutions(prepared: Prepared, tokenizer: PreTrainedTokenizerBase, behind: str) -> Space:
    """The first space with room for the longest solution that the training rows show, where they show any."""
    space, solutions = prepared.spaces[0], prepared.train.solutions
    if not isinstance(space, FreeNumber) or solutions is None or space.solution_tokens:
        return space
    return replace(space, solution_tokens=longest_solution(tokenizer, behind, solutions))


def free_answers(spaces: Sequence[Space], train: Examples) -> list[list[FreeAnswer]]:
    """Of each field the answers of the training rows, where its space does not list them."""
    answers: list[list[FreeAnswer]] = []
    for space, targets in zip(spaces, train.targets, strict=True):
        if not isinstance(space, FreeNumber):
            answers.append([])
            continue
        values = [float(target) for target in targets]
        if train.solutions is None:
            answers.append([FreeAnswer(value) for value in values])
        else:
            answers.append([FreeAnswer(*answer) for answer in zip(values, train.solutions, strict=True)])
    return answers


def _encode(encoder: PromptEncoder, examples: Examples, name: str, long: LongText, say: Say) -> EncodedRows:
    encoded = encoder.rows(examples.bodies)
    cut = [tokens for tokens in encoded.cut if tokens]
    if cut:
        say(
            f"{len(cut)} of {len(encoded.cut)} {name} prompts are longer than {encoder.max_tokens} tokens: the {long} "
            f"of their texts is kept, at most {max(cut)} tokens are cut, and the answer cue stays. (prompt.max_tokens, "
            "prompt.long)"
        )
    if len(encoded.prompts) > len(encoded.cut):
        say(
            f"{len(encoded.cut)} {name} rows are read in {len(encoded.prompts)} windows of {encoder.max_tokens} tokens."
        )
    return encoded
