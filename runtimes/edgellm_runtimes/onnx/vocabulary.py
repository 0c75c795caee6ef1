"""Text to token ids and back with a model's tokenizer.json, by the library `tokenizers`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from edgellm.errors import BackendError, ModelFileError, UnsupportedError
from edgellm.formats.reply_ends import ENDS_BY_TEXT
from edgellm.pip import ONNX_EXTRA, pip_install
from edgellm_runtimes.onnx.files import TOKENIZER, OnnxFiles
from edgellm_runtimes.onnx.pieces import piece_bytes
from edgellm_runtimes.onnx.template import tokenizer_config
from edgellm_runtimes.text import text_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TokenizersVocabulary"]

_LIMIT_BYTES = 128 << 20
_MOST_CACHED_PIECES = 32768
_PROBE = "a"


class TokenizersVocabulary:
    """The vocabulary of the model in ``files``; ``extra_ends`` are ids that end a generation besides those it names.

    Its ids and pieces are those of llama.cpp for the same model. Raises ModelFileError, UnsupportedError.
    """

    def __init__(self, files: OnnxFiles, extra_ends: Iterable[int] = ()) -> None:
        data = files.text(TOKENIZER, _LIMIT_BYTES)
        self._tokenizer = _load(data, files)
        self._lock = threading.Lock()  # whether markers are read is a state of the tokenizer
        self._bytes_of = piece_bytes(data)
        self._added: Mapping[int, Any] = self._tokenizer.get_added_tokens_decoder()
        self._plain: dict[int, bytes] = {}
        self.n_tokens = files.config.vocab_size
        largest = max(self._tokenizer.get_vocab_size(with_added_tokens=True) - 1, *self._added, 0)
        if largest >= self.n_tokens:
            raise ModelFileError(
                f"{files.path}: its tokenizer has ids up to {largest}, its logits {self.n_tokens} entries: they do not "
                "belong together",
                hint="pack the model again",
            )
        config = tokenizer_config(files)
        self._before, self._after = self._around()
        self.bos = self._named(config, "bos", files.config.bos_token_id, self._before)
        ends = files.config.ends
        self.eos = self._named(config, "eos", ends[0] if ends else None, self._after)
        if not self._before and config.get("add_bos_token") is True and self._says_nothing(data):
            self._before = () if self.bos is None else (self.bos,)
        self.adds_bos = self.bos is not None and self._before[:1] == (self.bos,)
        by_text = list(self._known(ENDS_BY_TEXT))
        self.eot = by_text[0] if by_text else None
        self._ends = frozenset([*ends, *extra_ends, *by_text, *([] if self.eos is None else [self.eos])])

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of ``text``. Raises UsageError for text that is not Unicode or far beyond any context."""
        text_bytes(text)
        with self._lock:
            self._tokenizer.encode_special_tokens = not parse_special
            # the one call that does not keep the place of every token in the text
            ids: list[int] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return [*self._before, *ids, *self._after] if add_special else ids

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; see ``backend.Vocabulary``."""
        known = self._plain.get(token)
        if known is not None and not special:
            return known
        if not 0 <= token < self.n_tokens:
            raise BackendError(f"token id {token} is outside the vocabulary of {self.n_tokens}")
        added = self._added.get(token)
        if added is not None:
            raw = added.content.encode("utf-8") if special or not added.special else b""
        else:
            text = self._tokenizer.id_to_token(token)
            raw = b"" if text is None else self._bytes_of(text)  # logits have more entries than there are tokens
        if not special and len(self._plain) < _MOST_CACHED_PIECES:
            self._plain[token] = raw
        return raw

    def is_end(self, token: int) -> bool:
        """True for the tokens that end a reply by the model's files, by their names, and the extra ones."""
        return token in self._ends

    def _around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What the tokenizer puts before and after every text."""
        plain = self._tokenizer.encode(_PROBE, add_special_tokens=False).ids
        whole = self._tokenizer.encode(_PROBE, add_special_tokens=True).ids
        for start in range(len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return tuple(whole[:start]), tuple(whole[start + len(plain) :])
        return (), ()

    def _named(self, config: Mapping[str, Any], kind: str, fallback: int | None, around: tuple[int, ...]) -> int | None:
        """A special token: by its text in tokenizer_config.json, by its place around texts, by its id."""
        value = config.get(f"{kind}_token")
        text = value.get("content") if isinstance(value, dict) else value
        found = self._tokenizer.token_to_id(text) if isinstance(text, str) and text else None
        if found is None and around:
            found = around[0]
        if found is None:
            found = fallback
        return found if found is not None and 0 <= found < self.n_tokens else None

    def _says_nothing(self, data: bytes) -> bool:
        """Whether tokenizer.json leaves it to the other file what is put around a text."""
        return msgspec.json.decode(data, type=_PostProcessed).post_processor is None

    def _known(self, texts: Iterable[str]) -> Iterator[int]:
        for text in texts:
            token = self._tokenizer.token_to_id(text)
            if token is not None:
                yield token


class _PostProcessed(msgspec.Struct):
    post_processor: msgspec.Raw | None = None


def _load(data: bytes, files: OnnxFiles) -> Tokenizer:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UnsupportedError(
            f"this is an ONNX model, and the library tokenizers cannot be used: {error}", hint=pip_install(ONNX_EXTRA)
        ) from error
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # its errors have no class of their own
        raise ModelFileError(
            f"{files.path}: {TOKENIZER} cannot be read: {' '.join(str(error).split())[:300]}",
            hint="check the bundle with `edgellm verify`, or pack the model again",
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
