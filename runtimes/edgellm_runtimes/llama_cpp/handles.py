"""A model and a context of llama.cpp, and how they are used and freed, whatever is computed with them."""

from __future__ import annotations

from typing import Any

from edgellm.errors import BackendError
from edgellm_runtimes.checks import check_threads

__all__ = ["LlamaHandles"]


class LlamaHandles:
    """The part of ``backend.Backend`` that is the same for a decoder and an encoder."""

    _lib: Any
    _model: Any = None
    _context: Any = None

    def set_threads(self, threads: int, batch_threads: int) -> None:
        """Change the number of threads from the next call on."""
        check_threads(threads, batch_threads)
        self._lib.llama_set_n_threads(self._open_context(), threads, batch_threads)

    def close(self) -> None:
        """Free the context and the model."""
        if self._context is not None:
            self._lib.llama_free(self._context)
            self._context = None
        if self._model is not None:
            self._lib.llama_model_free(self._model)
            self._model = None

    def _open_context(self) -> Any:
        if self._context is None:
            raise BackendError("the model is closed")
        return self._context
