"""The vocabulary of an encoder inside a GGUF file, read by our own WordPiece.

llama.cpp's differs from the tokenizers that models are trained with: in long words, in marks of later Unicode, in what
it calls punctuation.
"""

from __future__ import annotations

from typing import Any

from edgellm.errors import ModelFileError
from edgellm.formats.wordpiece import WordPiece
from edgellm_runtimes.llama_cpp.vocabulary import LlamaVocabulary
from edgellm_runtimes.text import text_bytes

__all__ = ["WordPieceVocabulary", "has_word_pieces"]

_WORD_PIECE = 3  # LLAMA_VOCAB_TYPE_WPM
_CONTROL = 8  # LLAMA_TOKEN_ATTR_CONTROL
_UNUSED = 2  # LLAMA_TOKEN_ATTR_UNUSED


def has_word_pieces(lib: Any, vocab: Any) -> bool:
    """True for a WordPiece vocabulary."""
    return bool(lib.llama_vocab_type(vocab) == _WORD_PIECE)


class WordPieceVocabulary(LlamaVocabulary):
    """See ``backend.Vocabulary``. ``unknown`` is the token for words that it does not know; ``lowercase`` and
    ``strip_accents`` say what its normalizer does. Raises ModelFileError.
    """

    def __init__(self, lib: Any, vocab: Any, unknown: int, *, lowercase: bool, strip_accents: bool) -> None:
        super().__init__(lib, vocab)
        texts = [lib.llama_vocab_get_text(vocab, number) for number in range(self.n_tokens)]
        kinds = [int(lib.llama_vocab_get_attr(vocab, number)) for number in range(self.n_tokens)]
        tokens = [
            "" if text is None or kind & _UNUSED else text.decode("utf-8", "replace")
            for text, kind in zip(texts, kinds, strict=True)
        ]
        special = [number for number, kind in enumerate(kinds) if kind & _CONTROL]
        if not 0 <= unknown < self.n_tokens:
            raise ModelFileError(
                f"the token for unknown words is {unknown}, outside the vocabulary of {self.n_tokens}",
                hint="convert the model again",
            )
        self._word_piece = WordPiece(tokens, special, unknown, lowercase=lowercase, strip_accents=strip_accents)
        separator = self._special(lib.llama_vocab_sep(vocab))
        self._before = () if self.bos is None else (self.bos,)
        self._after = () if separator is None else (separator,)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``. Raises UsageError for text that is not Unicode or far beyond any context."""
        text_bytes(text)
        ids = self._word_piece.encode(text, parse_special=parse_special)
        return [*self._before, *ids, *self._after] if add_special else ids
