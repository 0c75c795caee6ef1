"""llama.cpp's side of the proof: its own tokenizer over the vocabulary of a GGUF, no weights loaded."""

from __future__ import annotations

import ctypes
import os
import types
from pathlib import Path
from typing import Any

from edgellm.errors import BackendError, UnsupportedError
from edgellm.pip import REBUILD_LLAMA, pip_install

__all__ = ["LlamaVocab"]

_KEPT_LINES = 200


class LlamaVocab:
    """The vocabulary of the GGUF at ``path``, as llama.cpp reads it. Use it as a context manager.

    Raises UnsupportedError when llama.cpp does not load it, with llama.cpp's reason.
    """

    def __init__(self, path: Path) -> None:
        os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # a failed assertion would start a debugger
        try:
            from llama_cpp import llama_cpp as library
        except (ImportError, OSError, RuntimeError) as error:
            raise BackendError(
                f"llama.cpp's library cannot be loaded: {error}",
                hint=f"build it for this machine: {pip_install(REBUILD_LLAMA)}",
            ) from error
        self._library: Any = library
        self._log: list[str] = []
        # The C side keeps only the address: the callback must live as long as this object does.
        self._callback = library.llama_log_callback(self._keep)
        self._former = (library.llama_log_callback(), ctypes.c_void_p())
        library.llama_log_get(ctypes.byref(self._former[0]), ctypes.byref(self._former[1]))
        library.llama_log_set(self._callback, None)
        params = library.llama_model_default_params()
        params.vocab_only = True
        self._model = library.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            reason = next((line for line in reversed(self._log) if "error" in line), "it gives no reason")
            self.close()
            raise UnsupportedError(
                f"llama.cpp does not load the vocabulary: {reason.strip()}",
                hint="the tokenizer of this checkpoint cannot be used with llama.cpp",
            )
        self._vocab = library.llama_model_get_vocab(self._model)
        self.n_tokens = int(library.llama_vocab_n_tokens(self._vocab))
        self._room = 4096
        self._buffer = (ctypes.c_int32 * self._room)()

    def _keep(self, _level: int, raw: bytes | None, _data: object) -> None:
        if len(self._log) < _KEPT_LINES:
            self._log.append((raw or b"").decode("utf-8", "replace"))

    def tokenize(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]:
        """Token ids of ``text``."""
        raw = text.encode("utf-8")
        needed = len(raw) + 8  # no token is shorter than a byte, the special ones apart
        if needed > self._room:
            self._room = needed
            self._buffer = (ctypes.c_int32 * needed)()
        count = self._library.llama_tokenize(
            self._vocab, raw, len(raw), self._buffer, self._room, add_special, parse_special
        )
        if count < 0:
            raise BackendError(f"llama.cpp could not tokenize {text!r:.80}")
        return self._buffer[:count]

    def ends_reply(self, token_id: int) -> bool:
        """Whether llama.cpp takes the token for the end of a reply."""
        return bool(self._library.llama_vocab_is_eog(self._vocab, token_id))

    def close(self) -> None:
        """Free the model and give the log back to whoever had it."""
        if self._model:
            self._library.llama_model_free(self._model)
            self._model = None
        self._library.llama_log_set(*self._former)

    def __enter__(self) -> LlamaVocab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()
