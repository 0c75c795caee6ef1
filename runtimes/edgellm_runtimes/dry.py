"""Texts that end a repetition, as tokens: what the DRY sampler compares with what was said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgellm_runtimes.backend import Vocabulary

__all__ = ["DryBreakers", "token_breakers"]

_LONGEST_TAIL = 20  # tokens, as in llama.cpp


class DryBreakers:
    """Token sequences of breakers, found once for each text: the whole vocabulary is looked through."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._pieces: list[bytes] = []
        self._found: dict[str, list[tuple[int, ...]]] = {}

    def tokens(self, texts: Iterable[str]) -> list[tuple[int, ...]]:
        """The sequences of all ``texts``; see ``token_breakers``."""
        sequences: list[tuple[int, ...]] = []
        for text in texts:
            if text not in self._found:
                if not self._pieces:
                    vocabulary = self._vocabulary
                    self._pieces = [vocabulary.piece(token, special=True) for token in range(vocabulary.n_tokens)]
                self._found[text] = token_breakers(text, self._pieces, self._vocabulary)
            sequences += self._found[text]
        return sequences


def token_breakers(text: str, pieces: list[bytes], vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """Every token that holds ``text``, and every one that ends with its beginning, followed by the tokens of the rest.

    ``pieces`` are the bytes of all tokens. The same sequences as llama.cpp's DRY sampler makes.
    """
    wanted = text.encode("utf-8")
    sequences: dict[tuple[int, ...], None] = {}
    tails: dict[int, tuple[int, ...]] = {}
    for token, piece in enumerate(pieces):
        if wanted in piece:
            sequences[(token,)] = None
            continue
        for length in range(min(len(wanted) - 1, len(piece)), 0, -1):
            if not piece.endswith(wanted[:length]):
                continue
            if length not in tails:
                # A rest that begins inside a character becomes tokens that no text has: the token breaks nothing.
                rest = wanted[length:].decode("utf-8", "replace")
                tails[length] = tuple(vocabulary.tokenize(rest, add_special=False, parse_special=False)[:_LONGEST_TAIL])
            sequences[(token, *tails[length])] = None
    return list(sequences)
