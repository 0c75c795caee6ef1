"""An encoder in a GGUF file behind the Backend protocol: whole texts in, hidden states out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgellm.errors import BackendError, UnsupportedError
from edgellm.formats.encoders import RANKING
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm_runtimes._native import AbortFlag
from edgellm_runtimes.backend import (
    AbortSignal,
    BackendSettings,
    Capability,
    DecodeAbortedError,
    TokenSlice,
    Vocabulary,
)
from edgellm_runtimes.checks import check_ids
from edgellm_runtimes.encoder import EncoderBase, encoder_limits
from edgellm_runtimes.llama_cpp.batch import BatchArrays
from edgellm_runtimes.llama_cpp.facts import metadata_text, model_facts
from edgellm_runtimes.llama_cpp.handles import LlamaHandles
from edgellm_runtimes.llama_cpp.library import library, log_position, log_since
from edgellm_runtimes.llama_cpp.loading import check_settings, create_encoder_context, load_model
from edgellm_runtimes.llama_cpp.vocabulary import LlamaVocabulary
from edgellm_runtimes.llama_cpp.word_pieces import WordPieceVocabulary, has_word_pieces

__all__ = ["LlamaEncoder"]

_ABORTED = 2  # return value of llama_decode
_UNKNOWN = "100"  # where the file does not say: llama.cpp's default, BERT's own


class LlamaEncoder(LlamaHandles, EncoderBase):
    """A GGUF encoder loaded by llama.cpp, memory-mapped where it lies; see ``backend.Backend``.

    A call takes as many texts as fit into ``settings.batch`` tokens, which must hold the longest one. ``normalization``
    and ``space_prefix`` are as in LlamaBackend.
    """

    def __init__(
        self,
        path: Path,
        settings: BackendSettings,
        *,
        normalization: str = "",
        space_prefix: bool = False,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        check_settings(settings)
        self._lib = lib = library()
        self.path = path
        abort_flag = AbortFlag()
        self.abort_flag: AbortSignal = abort_flag
        self._model = load_model(lib, path, settings, progress or SilentProgress(), cancel or CancelToken())
        try:
            self.facts = model_facts(lib, self._model)
            self._refuse_ranking()
            self._context = create_encoder_context(lib, self._model, settings, abort_flag)
            self.vocabulary: Vocabulary = self._read_vocabulary(normalization, space_prefix)
        except BaseException:
            self.close()
            raise
        self.capabilities: frozenset[Capability] = frozenset(("embeddings", "threads"))
        self.settings = settings
        n_batch = int(lib.llama_n_ubatch(self._context))
        self.limits = encoder_limits(settings, n_batch, self.vocabulary.n_tokens)
        self._memory = lib.llama_get_memory(self._context)
        self._batch = BatchArrays(lib, n_batch)

    def hidden_states(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """The hidden states of whole texts; see ``backend.Backend.hidden_states``."""
        context = self._open_context()
        whole = self.check_texts(slices)
        n_tokens = self._batch.fill(whole, self._lengths)
        check_ids(self._batch.tokens[:n_tokens], self.limits.n_vocab)
        mark = log_position()
        status = self._lib.llama_decode(context, self._batch.struct)
        if self._memory:
            self._lib.llama_memory_clear(self._memory, False)
        if status == _ABORTED:
            raise DecodeAbortedError("decode was stopped")
        if status != 0:
            raise BackendError(f"llama.cpp failed to decode (status {status}): {log_since(mark) or 'no reason given'}")
        pointer = self._lib.llama_get_embeddings(context)
        return np.ctypeslib.as_array(pointer, shape=(n_tokens, self.facts.n_embd))

    def text_vectors(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """UnsupportedError: texts are pooled by whoever asks for their hidden states."""
        raise UnsupportedError("llama.cpp's pooling is not used here")

    def _read_vocabulary(self, normalization: str, space_prefix: bool) -> LlamaVocabulary:
        lib, model = self._lib, self._model
        vocab = lib.llama_model_get_vocab(model)
        if not has_word_pieces(lib, vocab):
            return LlamaVocabulary(lib, vocab, (), normalization, space_prefix)
        keys = ("tokenizer.ggml.normalizer.lowercase", "tokenizer.ggml.normalizer.strip_accents")
        lowercase, strip = (metadata_text(lib, model, key) for key in keys)
        unknown = metadata_text(lib, model, "tokenizer.ggml.unknown_token_id") or _UNKNOWN
        is_lower = lowercase != "false"
        return WordPieceVocabulary(
            lib,
            vocab,
            int(unknown) if unknown.isdecimal() else -1,
            lowercase=is_lower,
            strip_accents=strip == "true" if strip else is_lower,
        )

    def _refuse_ranking(self) -> None:
        key = f"{self.facts.architecture}.pooling_type"
        if metadata_text(self._lib, self._model, key) == str(RANKING):
            raise UnsupportedError(
                f"{self.path} is a reranker: it scores pairs of texts and gives no vectors",
                hint="take an embedding model",
            )
