"""Constraints over the vocabulary of a real model: checks, masks, ends, forced tokens, rollback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgellm.errors import BackendError, UsageError
from edgellm_runtimes.backend import BackendSettings, Vocabulary
from edgellm_runtimes.grammar import Grammar, GrammarKind
from edgellm_runtimes.structured import Constraint, GrammarCompiler
from structured_rig import allowed, empty_mask, schema, take

pytest.importorskip("llguidance", reason="there is no wheel of llguidance for this platform")

SPARE_IDS = 70  # logits beyond the vocabulary, as models with padded rows have them


@pytest.fixture(scope="module")
def vocabulary(tiny_gguf: Path) -> Iterator[Vocabulary]:
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64, batch=32, ubatch=32), extra_ends=(65,))
    yield backend.vocabulary
    backend.close()


@pytest.fixture(scope="module")
def n_vocab(vocabulary: Vocabulary) -> int:
    return vocabulary.n_tokens + SPARE_IDS


@pytest.fixture(scope="module")
def compiler(vocabulary: Vocabulary, n_vocab: int) -> GrammarCompiler:
    return GrammarCompiler(vocabulary, n_vocab)


@pytest.fixture(scope="module")
def ends(vocabulary: Vocabulary) -> set[int]:
    found = {token for token in range(vocabulary.n_tokens) if vocabulary.is_end(token)}
    assert len(found) > 1
    return found


def start(compiler: GrammarCompiler, kind: GrammarKind, text: str) -> Constraint:
    return compiler.compile(Grammar(kind, text)).start()


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_the_check_and_the_mask_agree(compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int) -> None:
    constraint = compiler.compile(schema(PERSON)).start()
    take(constraint, vocabulary, '{"name": "Br')
    mask = allowed(constraint, n_vocab)
    assert mask == {token for token in range(n_vocab) if constraint.allows(token)}
    assert 100 < len(mask) < vocabulary.n_tokens


def test_only_tokens_that_keep_to_the_grammar_are_allowed(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int
) -> None:
    constraint = start(compiler, "regex", "[ab]{3}")
    expected = {
        token
        for token in range(vocabulary.n_tokens)
        if (piece := vocabulary.piece(token)) and len(piece) <= 3 and set(piece) <= set(b"ab")
    }
    assert allowed(constraint, n_vocab) == expected
    assert len(expected) > 2


def test_ids_beyond_the_vocabulary_are_never_allowed(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int
) -> None:
    constraint = start(compiler, "regex", "(?s:.*)")
    mask = allowed(constraint, n_vocab)
    assert max(mask) < vocabulary.n_tokens
    assert not constraint.allows(vocabulary.n_tokens)
    assert not constraint.allows(n_vocab)
    assert not constraint.allows(-1)
    with pytest.raises(BackendError):
        constraint.accept(n_vocab - 1)
    assert allowed(constraint, n_vocab) == mask


def test_control_tokens_are_no_text(compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int) -> None:
    control = {
        token
        for token in range(vocabulary.n_tokens)
        if not vocabulary.piece(token) and vocabulary.piece(token, special=True)
    }
    assert control
    constraint = start(compiler, "regex", "(?s:.*)x")
    assert not allowed(constraint, n_vocab) & control
    assert not any(constraint.allows(token) for token in control)


def test_every_end_token_is_allowed_when_and_only_when_the_grammar_may_end(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int, ends: set[int]
) -> None:
    constraint = start(compiler, "regex", "ab?")
    states = []
    for piece in ("a", "b"):
        states.append((constraint.can_end, constraint.is_over))
        assert allowed(constraint, n_vocab) & ends == (ends if constraint.can_end else set())
        assert all(constraint.allows(end) is constraint.can_end for end in ends)
        take(constraint, vocabulary, piece)
    assert [*states, (constraint.can_end, constraint.is_over)] == [(False, False), (True, False), (True, True)]
    assert allowed(constraint, n_vocab) == ends
    assert all(constraint.allows(end) for end in ends)
    assert constraint.forced() == []


def test_after_an_end_token_only_end_tokens_follow(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int, ends: set[int]
) -> None:
    constraint = start(compiler, "regex", "a+")
    with pytest.raises(BackendError):
        constraint.accept(min(ends))
    (token,) = take(constraint, vocabulary, "a")
    for end in ends:
        constraint.accept(end)
        assert constraint.is_over
        assert allowed(constraint, n_vocab) == ends
        assert not constraint.allows(token)
    constraint.rollback(len(ends))
    assert not constraint.is_over
    assert constraint.allows(token)


def test_an_end_token_that_is_text_too_only_ends(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int
) -> None:
    text = vocabulary.piece(65).decode()  # an extra end of these tests
    constraint = start(compiler, "regex", f"({text}|xy)z")
    assert not constraint.allows(65)
    assert 65 not in allowed(constraint, n_vocab)
    assert constraint.allows(vocabulary.tokenize("x", add_special=False, parse_special=False)[0])


def test_forced_text_is_what_the_model_itself_would_write(compiler: GrammarCompiler, vocabulary: Vocabulary) -> None:
    constraint = compiler.compile(schema(PERSON)).start()
    text = "Friends, Romans, countrymen"
    constraint = start(compiler, "regex", f"{text}!?")
    forced = constraint.forced()
    tokens = vocabulary.tokenize(text, add_special=False, parse_special=False)
    assert forced == tokens[: len(forced)]
    assert len(forced) >= len(tokens) - 2  # the last ones may be written otherwise with what follows
    for token in forced:
        assert constraint.allows(token)
        constraint.accept(token)
    assert constraint.forced() == []


def test_where_there_is_a_choice_nothing_is_forced(compiler: GrammarCompiler, vocabulary: Vocabulary) -> None:
    constraint = start(compiler, "lark", 'start: ("yes" | "no") ", of course"')
    assert constraint.forced() == []
    take(constraint, vocabulary, "no")
    assert b"".join(map(vocabulary.piece, constraint.forced())).startswith(b", of")


@pytest.mark.parametrize("back", [1, 2, 5])
def test_rollback_brings_back_the_state_before(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int, back: int
) -> None:
    constraint = compiler.compile(schema(PERSON)).start()
    tokens = vocabulary.tokenize('{"name":"Brutus","age":44}', add_special=False, parse_special=False)
    masks = []
    for token in tokens:
        masks.append((allowed(constraint, n_vocab), constraint.forced(), constraint.can_end))
        constraint.accept(token)
    assert constraint.is_over
    end = vocabulary.eos
    assert end is not None
    constraint.accept(end)
    constraint.rollback(1 + back)
    assert (allowed(constraint, n_vocab), constraint.forced(), constraint.can_end) == masks[len(tokens) - back]
    for token in tokens[len(tokens) - back :]:
        constraint.accept(token)
    assert constraint.is_over
    constraint.rollback(len(tokens))
    assert allowed(constraint, n_vocab) == masks[0][0]
    with pytest.raises(BackendError):
        constraint.rollback(1)


@pytest.mark.parametrize("text", ["héllo", "日本語", "🎉🎊", "é́"])
def test_characters_are_put_together_of_several_tokens(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int, text: str
) -> None:
    constraint = compiler.compile(schema({"type": "string", "pattern": f"^[{text}x]+$"})).start()
    tokens = take(constraint, vocabulary, f'"{text}')
    assert any(vocabulary.piece(token)[:1] >= b"\x80" for token in tokens)
    inside = start(compiler, "regex", text[0].replace("\\", ""))
    for token in vocabulary.tokenize(text[0], add_special=False, parse_special=False):
        assert not inside.can_end
        assert token in allowed(inside, n_vocab)
        inside.accept(token)
    assert inside.is_over


def test_half_a_character_cannot_end_a_text(compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int) -> None:
    tokens = vocabulary.tokenize("🎉", add_special=False, parse_special=False)
    assert len(tokens) > 1
    constraint = start(compiler, "regex", "(?s:.*)")
    assert constraint.can_end
    constraint.accept(tokens[0])
    assert not constraint.can_end
    follows = [vocabulary.piece(token) for token in allowed(constraint, n_vocab)]
    assert follows
    assert all(0x80 <= piece[0] < 0xC0 for piece in follows)


def test_sequences_of_one_grammar_do_not_touch_each_other(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int
) -> None:
    compiled = compiler.compile(Grammar("regex", "a[bc]d"))
    first, second = compiled.start(), compiled.start()
    before = allowed(second, n_vocab)
    take(first, vocabulary, "ab")
    assert allowed(second, n_vocab) == before
    take(second, vocabulary, "ac")
    assert not second.is_over
    take(first, vocabulary, "d")
    assert first.is_over
    assert not second.is_over


def test_a_refused_token_changes_nothing(compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int) -> None:
    constraint = start(compiler, "regex", "[ab]+")
    before = allowed(constraint, n_vocab)
    (wrong,) = vocabulary.tokenize("z", add_special=False, parse_special=False)
    assert not constraint.allows(wrong)
    with pytest.raises(BackendError, match="does not allow"):
        constraint.accept(wrong)
    assert allowed(constraint, n_vocab) == before


def test_a_control_token_may_be_named_by_a_lark_grammar(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int, ends: set[int]
) -> None:
    token, name = next(
        (token, vocabulary.piece(token, special=True).decode())
        for token in range(vocabulary.n_tokens)
        if not vocabulary.piece(token) and vocabulary.piece(token, special=True)[:1] == b"<" and token not in ends
    )
    constraint = start(compiler, "lark", f'start: "a" {name} "b"')
    take(constraint, vocabulary, "a")
    assert allowed(constraint, n_vocab) == {token}


def test_a_grammar_whose_only_way_on_is_an_end_token_fails_clearly(
    compiler: GrammarCompiler, vocabulary: Vocabulary, n_vocab: int
) -> None:
    constraint = start(compiler, "lark", f'start: "a" <[{vocabulary.eos}]> "b"')
    assert constraint.forced() == vocabulary.tokenize("a", add_special=False, parse_special=False)
    take(constraint, vocabulary, "a")
    assert constraint.forced() == []
    with pytest.raises(UsageError, match="allows nothing after 1 tokens"):
        allowed(constraint, n_vocab)


@pytest.mark.parametrize(
    "mask",
    [np.zeros(3, np.uint32), empty_mask(4200).astype(np.int32), empty_mask(9000)[::2], empty_mask(64)[None]],
    ids=["short", "dtype", "strided", "two-dimensional"],
)
def test_a_mask_of_another_shape_is_refused(compiler: GrammarCompiler, mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match="contiguous uint32"):
        start(compiler, "regex", "a").mask_into(mask)


def test_a_grammar_that_holds_up_the_others_is_stopped(compiler: GrammarCompiler, vocabulary: Vocabulary) -> None:
    doubling = "".join(f"R{level}: R{level + 1} R{level + 1}\n" for level in range(15))
    constraint = start(compiler, "lark", f'start: ("x" | "y") R0\n{doubling}R15: "ab"\n')
    take(constraint, vocabulary, "x")

    def go_on() -> None:
        for _ in range(3000):
            constraint.forced()

    with pytest.raises(UsageError, match="s for 1 tokens"):
        go_on()


@pytest.mark.parametrize("changes", [{"space_prefix": True}, {"normalization": "NFD"}], ids=["space", "NFD"])
def test_forced_text_is_exact_where_the_tokenizer_changes_texts(tiny_gguf: Path, changes: dict[str, Any]) -> None:
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64, batch=32, ubatch=32), **changes)
    vocabulary = backend.vocabulary
    try:
        text = "Caf\u00e9 Romans"
        tokens = vocabulary.tokenize(text, add_special=False, parse_special=False)
        assert b"".join(map(vocabulary.piece, tokens)) != text.encode()
        constraint = GrammarCompiler(vocabulary, vocabulary.n_tokens).compile(Grammar("regex", text)).start()
        written = b""
        while not constraint.is_over:
            forced = constraint.forced()
            token = forced[0] if forced else max(allowed(constraint, vocabulary.n_tokens))
            constraint.accept(token)
            written += vocabulary.piece(token)
        assert written == text.encode()
    finally:
        backend.close()
