"""Answers of tiny-llm under a grammar, drawn as the engine does: a token first, a mask only where it is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgellm_runtimes import _sampling
from edgellm_runtimes.backend import TokenSlice
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.sampler import create_sampler
from edgellm_runtimes.sampling import SamplingParams

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgellm_runtimes.backend import Backend, Vocabulary
    from edgellm_runtimes.structured import CompiledGrammar, Constraint

WARM = SamplingParams(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0)


@dataclass
class Answer:
    """What was generated, and how."""

    tokens: list[int] = field(default_factory=list)
    text: bytes = b""
    ended: bool = False  # complete; else the limit of tokens was reached
    refused: int = 0  # draws that the grammar did not allow
    forced: int = 0  # tokens that were not drawn


def generate(backend: Backend, compiled: CompiledGrammar, prompt: str, seed: int, limit: int = 300) -> Answer:
    """An answer to ``prompt`` at temperature 1.5, of at most ``limit`` tokens."""
    vocabulary, constraint, answer = backend.vocabulary, compiled.start(), Answer()
    rng = np.random.default_rng(seed)
    native = create_sampler(WARM, []).native
    mask = empty_mask(backend.limits.n_vocab)[None]
    backend.drop_sequence(0)
    pending = vocabulary.tokenize(prompt, add_special=True, parse_special=False)
    while len(answer.tokens) < limit:
        row = backend.decode([TokenSlice(0, pending, 1)])

        def draw(masks: npt.NDArray[np.uint32] | None, row: npt.NDArray[np.float32] = row) -> int:
            return _sampling.sample([native], row, masks, 1, rng.random((1, 2)), False)[0]

        token = draw(None)
        if not constraint.allows(token):
            answer.refused += 1
            constraint.mask_into(mask[0])
            token = draw(mask)
            assert constraint.allows(token)
        constraint.accept(token)
        if vocabulary.is_end(token):
            answer.ended = True
            break
        forced = constraint.forced()
        for each in forced:
            constraint.accept(each)
        pending = [token, *forced]
        answer.tokens += pending
        answer.forced += len(forced)
        if constraint.is_over:
            answer.ended = True
            break
    answer.text = b"".join(vocabulary.piece(each) for each in answer.tokens)
    return answer


def schema(value: Any) -> Grammar:
    """``value`` as a grammar."""
    return Grammar("json_schema", json.dumps(value))


def empty_mask(n_vocab: int) -> npt.NDArray[np.uint32]:
    """Room for one mask, full of what must be overwritten."""
    return np.full(-(-n_vocab // 32), 0xDEADBEEF, np.uint32)


def allowed(constraint: Constraint, n_vocab: int) -> set[int]:
    """The tokens of the mask."""
    mask = empty_mask(n_vocab)
    constraint.mask_into(mask)
    return set(np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist())


def take(constraint: Constraint, vocabulary: Vocabulary, text: str) -> list[int]:
    """Accept the tokens of ``text``."""
    tokens = vocabulary.tokenize(text, add_special=False, parse_special=False)
    for token in tokens:
        assert constraint.allows(token), vocabulary.piece(token)
        constraint.accept(token)
    return tokens
