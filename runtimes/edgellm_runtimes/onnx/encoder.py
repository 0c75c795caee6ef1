"""One loaded ONNX encoder behind the Backend protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgellm.errors import BackendError, UnsupportedError
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm_runtimes.backend import (
    AbortSignal,
    BackendSettings,
    Capability,
    DecodeAbortedError,
    ModelFacts,
    TokenSlice,
    Vocabulary,
)
from edgellm_runtimes.checks import check_ids, check_threads
from edgellm_runtimes.encoder import EncoderBase, encoder_limits
from edgellm_runtimes.onnx.abort import AbortSwitch
from edgellm_runtimes.onnx.files import OnnxFiles
from edgellm_runtimes.onnx.library import explain, library, log_level
from edgellm_runtimes.onnx.loading import check_encoder_settings, model_facts
from edgellm_runtimes.onnx.prepared import PreparedWeights
from edgellm_runtimes.onnx.session import should_spin
from edgellm_runtimes.onnx.text_runs import text_runs
from edgellm_runtimes.onnx.vocabulary import TokenizersVocabulary

__all__ = ["OnnxEncoder"]

_LISTEN_S = 0.05  # to what else the machine does

Output = Literal["token_embeddings", "sentence_embedding"]


class OnnxEncoder(EncoderBase):
    """An encoder that edgellm packed; see ``backend.Backend`` and ``OnnxBackend``, whose arguments are the same."""

    def __init__(
        self,
        path: Path,
        settings: BackendSettings,
        *,
        files: Mapping[str, Path] | None = None,
        prepared: Path | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        progress, cancel = progress or SilentProgress(), cancel or CancelToken()
        ort = library()
        found = OnnxFiles(path, files)
        if found.encoder is None:
            raise UnsupportedError(f"{path} is no encoder")
        check_encoder_settings(settings, found.config)
        found.prove_data(cancel)
        self.path, self.settings = path, settings
        self._options = ort.RunOptions()
        self._options.log_severity_level = log_level()
        self.abort_flag: AbortSignal = AbortSwitch(self._options)
        self.vocabulary: Vocabulary = TokenizersVocabulary(found)
        self._prepared = PreparedWeights(found, prepared, progress)
        self._spin = should_spin(settings.batch_threads, lambda: cancel.wait(_LISTEN_S))
        self._threads = max(settings.threads, settings.batch_threads)
        progress.phase("load", found.size_bytes)
        cancel.check()
        self._session = self._prepared.open(self._threads, spin=self._spin)
        progress.advance(found.size_bytes)
        self.capabilities: frozenset[Capability] = frozenset(("embeddings", "pooling"))
        self.facts: ModelFacts = model_facts(found)
        n_batch = max(settings.batch, settings.context)
        self.limits = encoder_limits(settings, n_batch, found.config.vocab_size)

    def hidden_states(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """The hidden states of whole texts; see ``backend.Backend.hidden_states``."""
        texts = self._texts(slices)
        ends = np.cumsum([0, *map(len, texts)])
        rows = np.empty((int(ends[-1]), self.facts.n_embd), np.float32)
        for run in text_runs([len(text) for text in texts], self.limits.n_batch):
            states = self._run("token_embeddings", [texts[place] for place in run])
            for row, place in enumerate(run):
                rows[ends[place] : ends[place + 1]] = states[row, : len(texts[place])]
        return rows

    def text_vectors(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """The vectors of whole texts, pooled in the graph; see ``backend.Backend.text_vectors``."""
        texts = self._texts(slices)
        vectors = np.empty((len(texts), self.facts.n_embd), np.float32)
        for run in text_runs([len(text) for text in texts], self.limits.n_batch):
            vectors[run] = self._run("sentence_embedding", [texts[place] for place in run])
        return vectors

    def _texts(self, slices: Sequence[TokenSlice]) -> list[npt.NDArray[np.int64]]:
        self.check_texts(slices)
        texts = [np.asarray(slice_.tokens, np.int64) for slice_ in slices]
        for text in texts:
            check_ids(text, self.limits.n_vocab)
        return texts

    def _run(self, output: Output, texts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        if self._session is None:
            raise BackendError("the model is closed")
        ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        try:
            found = self._session.run([output], {"input_ids": ids, "attention_mask": mask}, self._options)[0]
        except Exception as error:  # it raises bare RuntimeErrors and classes of its own
            if self.abort_flag.is_set:
                raise DecodeAbortedError("decode was stopped") from error
            raise BackendError(f"ONNX Runtime failed to encode: {explain(error)}") from error
        assert isinstance(found, np.ndarray)
        return found

    def set_threads(self, threads: int, batch_threads: int) -> None:
        """Change the number of threads: they belong to a session, so another one is opened."""
        if self._session is None:
            raise BackendError("the model is closed")
        check_threads(threads, batch_threads)
        wanted = max(threads, batch_threads)
        if wanted != self._threads:
            self._session = None
            self._session = self._prepared.open(wanted, spin=self._spin)
            self._threads = wanted

    def close(self) -> None:
        """Free the model."""
        if self._session is not None:
            self._session = None
            self._prepared.close()
