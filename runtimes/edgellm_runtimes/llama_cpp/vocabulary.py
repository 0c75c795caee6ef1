"""Text to token ids and back with the vocabulary inside the GGUF file."""

from __future__ import annotations

import ctypes
import unicodedata
from collections.abc import Iterable
from typing import Any, Literal, cast

from edgellm.errors import BackendError, UnsupportedError
from edgellm_runtimes.llama_cpp.deep_stack import call_deep
from edgellm_runtimes.text import text_bytes

__all__ = ["LlamaVocabulary"]

_Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
_LONGEST_SPECIAL = 128  # characters
_MOST_CACHED_PIECES = 32768  # a vocabulary of 150,000 would take 20 MB
_SPECIAL_ATTRIBUTES = 1 | 8 | 16  # enum llama_token_attr: unknown, control, user-defined


class LlamaVocabulary:
    """The vocabulary of a loaded llama.cpp model.

    ``extra_ends`` are ids that end a generation besides the file's. ``normalization`` is the Unicode form ("NFC", ...)
    that the model's tokenizer brings text into; llama.cpp does not, so it happens here. ``space_prefix``: its tokenizer
    puts a space before the start of a text, unless a space or a special token stands there; the same holds. Raises
    UnsupportedError for another form.
    """

    def __init__(
        self,
        lib: Any,
        vocab: Any,
        extra_ends: Iterable[int] = (),
        normalization: str = "",
        space_prefix: bool = False,
    ) -> None:
        if normalization and normalization not in _FORMS:
            raise UnsupportedError(f"text normalization {normalization!r} is unknown here", hint="update edgellm")
        self._normalization = cast(_Form, normalization) if normalization else None
        self._space_prefix = space_prefix
        self._lib = lib
        self._vocab = vocab
        self.n_tokens = int(lib.llama_vocab_n_tokens(vocab))
        self.bos = self._special(lib.llama_vocab_bos(vocab))
        self.eos = self._special(lib.llama_vocab_eos(vocab))
        self.eot = self._special(lib.llama_vocab_eot(vocab))
        self.adds_bos = bool(lib.llama_vocab_get_add_bos(vocab))
        self._extra_ends = frozenset(extra_ends)
        # llama.cpp aborts when it should add a token that the file does not name
        adds_eos = bool(lib.llama_vocab_get_add_eos(vocab))
        self._can_add_special = (self.bos is not None or not self.adds_bos) and (self.eos is not None or not adds_eos)
        self._plain: dict[int, bytes] = {}
        self._buffer_bytes = 256

    def _special(self, token: int) -> int | None:
        return token if 0 <= token < self.n_tokens else None

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``. Raises UsageError for text that is not Unicode or far beyond any context."""
        if self._normalization is not None:
            text = unicodedata.normalize(self._normalization, text)
        if self._space_prefix and text and not self._starts_apart(text, parse_special):
            text = f" {text}"
        raw = text_bytes(text)
        add_special = add_special and self._can_add_special
        return call_deep(text, lambda: self._tokenize(raw, add_special, parse_special))

    def _starts_apart(self, text: str, parse_special: bool) -> bool:
        """True when ``text`` starts with a space or a special token, before which no space belongs."""
        if text[0] in " \u2581":
            return True
        start = text[:_LONGEST_SPECIAL].encode("utf-8", "replace")
        first = self._tokenize(start, False, parse_special)[:1]
        return bool(first) and bool(self._lib.llama_vocab_get_attr(self._vocab, first[0]) & _SPECIAL_ATTRIBUTES)

    def _tokenize(self, raw: bytes, add_special: bool, parse_special: bool) -> list[int]:
        room = len(raw) + 8  # no token is shorter than a byte, the special ones apart
        for _attempt in range(2):
            tokens = (ctypes.c_int32 * room)()
            count = self._lib.llama_tokenize(self._vocab, raw, len(raw), tokens, room, add_special, parse_special)
            if count >= 0:
                return list(tokens[:count])
            room = -count
        raise BackendError("llama.cpp could not tokenize the text")

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; see ``backend.Vocabulary``."""
        if not special and token in self._plain:
            return self._plain[token]
        if not 0 <= token < self.n_tokens:
            raise BackendError(f"token id {token} is outside the vocabulary of {self.n_tokens}")
        size = self._buffer_bytes
        for _attempt in range(2):
            buffer = ctypes.create_string_buffer(size)
            count = self._lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
            if count >= 0:
                raw = buffer.raw[:count]
                if not special and len(self._plain) < _MOST_CACHED_PIECES:
                    self._plain[token] = raw
                return raw
            size = -count
        raise BackendError(f"llama.cpp has no text for token {token}")

    def is_end(self, token: int) -> bool:
        """True for the end-of-generation tokens that the file names and the extra ones."""
        return token in self._extra_ends or bool(self._lib.llama_vocab_is_eog(self._vocab, token))
