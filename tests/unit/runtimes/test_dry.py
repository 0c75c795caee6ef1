"""The token sequences of a breaker, in the vocabulary of a real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgellm_runtimes.backend import BackendSettings, Vocabulary
from edgellm_runtimes.dry import DryBreakers


@pytest.fixture(scope="module")
def vocabulary(tiny_gguf: Path) -> Iterator[Vocabulary]:
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64, batch=32, ubatch=32))
    yield backend.vocabulary
    backend.close()


def tokens_of(vocabulary: Vocabulary, text: str) -> list[int]:
    return vocabulary.tokenize(text, add_special=False, parse_special=False)


def test_every_token_with_the_text_in_it_breaks(vocabulary: Vocabulary) -> None:
    singles = {breaker[0] for breaker in DryBreakers(vocabulary).tokens([":"]) if len(breaker) == 1}
    pieces = [vocabulary.piece(token, special=True) for token in range(vocabulary.n_tokens)]
    assert singles == {token for token, piece in enumerate(pieces) if b":" in piece}
    assert singles


def test_a_text_of_several_tokens_breaks_where_all_of_them_stand(vocabulary: Vocabulary) -> None:
    text = "ing the house"
    found = DryBreakers(vocabulary).tokens([text])
    pieces = {breaker: [vocabulary.piece(token, special=True) for token in breaker] for breaker in found}
    assert tuple(tokens_of(vocabulary, "painting the house")[-3:]) in found
    assert all(len(breaker) > 1 or text.encode() in pieces[breaker][0] for breaker in found)
    assert all(b"".join(each).endswith(text.encode()) for each in pieces.values())
    assert len(found) == len(set(found))


@pytest.mark.parametrize("text", ["é", "🎉", "日"])
def test_the_first_byte_of_a_character_breaks_nothing(vocabulary: Vocabulary, text: str) -> None:
    """Other characters begin with it too."""
    first = tokens_of(vocabulary, text)[0]
    assert vocabulary.piece(first, special=True) != text.encode()
    assert (first,) not in DryBreakers(vocabulary).tokens([text])


def test_a_text_is_looked_up_once(vocabulary: Vocabulary) -> None:
    breakers = DryBreakers(vocabulary)
    assert breakers.tokens([":", "\n"]) == breakers.tokens([":"]) + breakers.tokens(["\n"])
    assert breakers.tokens([]) == []
