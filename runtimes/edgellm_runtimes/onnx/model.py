"""One loaded ONNX model behind the Backend protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgellm.errors import BackendError, NotFoundError, UnsupportedError
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm_runtimes.backend import (
    AbortSignal,
    BackendLimits,
    BackendSettings,
    Capability,
    DecodeAbortedError,
    ModelFacts,
    TokenSlice,
    Vocabulary,
)
from edgellm_runtimes.checks import (
    check_batch,
    check_copy,
    check_cut,
    check_ids,
    check_sequence,
    check_threads,
    logits_rows,
)
from edgellm_runtimes.checks import saved_length as checked_length
from edgellm_runtimes.onnx.abort import AbortSwitch
from edgellm_runtimes.onnx.files import OnnxFiles
from edgellm_runtimes.onnx.graph_run import GraphRunner, Output
from edgellm_runtimes.onnx.kv_cache import KvCache
from edgellm_runtimes.onnx.library import explain, library, log_level
from edgellm_runtimes.onnx.loading import check_settings, kv_dtype, model_facts, state_traits
from edgellm_runtimes.onnx.prepared import PreparedWeights
from edgellm_runtimes.onnx.runs import Run, cut_slices, plan_runs
from edgellm_runtimes.onnx.session import should_spin
from edgellm_runtimes.onnx.state import read_state, state_bytes, write_state
from edgellm_runtimes.onnx.vocabulary import TokenizersVocabulary

if TYPE_CHECKING:
    from edgellm_runtimes.generation import AdapterUse

__all__ = ["OnnxBackend"]

_LISTEN_S = 0.05  # to what else the machine does


class OnnxBackend:
    """An ONNX model that edgellm packed; see ``backend.Backend``.

    ``path`` is its graph; ``files`` has the others by their names in the bundle, without it they lie beside it.
    ``extra_ends`` are token ids that end a generation besides those that the files name. ``prepared`` is the folder of
    prepared weights; without one the weights are prepared anew each time.
    """

    adapters: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        settings: BackendSettings,
        *,
        files: Mapping[str, Path] | None = None,
        extra_ends: Iterable[int] = (),
        prepared: Path | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        progress, cancel = progress or SilentProgress(), cancel or CancelToken()
        ort = library()
        self._files = found = OnnxFiles(path, files)
        check_settings(settings, found.config, found.graph)
        found.prove_data(cancel)
        self.path, self.settings = path, settings
        self._runner: GraphRunner | None = None
        self._options = ort.RunOptions()
        self._options.log_severity_level = log_level()
        # Its Python layer asks for this entry in every run, and an exception for a missing one costs 40 microseconds.
        self._options.add_run_config_entry("gpu_graph_id", "0")
        self.abort_flag: AbortSignal = AbortSwitch(self._options)
        self.vocabulary: Vocabulary = TokenizersVocabulary(found, extra_ends)
        self._prepared = PreparedWeights(found, prepared, progress)
        self._spin = should_spin(settings.batch_threads, lambda: cancel.wait(_LISTEN_S))
        self._threads = max(settings.threads, settings.batch_threads)
        progress.phase("load", found.size_bytes)
        cancel.check()
        n_sequences = settings.sequences + settings.spare_sequences
        self._cache = KvCache(found.config.decoder, n_sequences, settings.context, kv_dtype(found.graph))
        session = self._prepared.open(self._threads, spin=self._spin)
        cancel.check()
        progress.advance(found.size_bytes)
        n_batch = min(settings.batch, settings.context * n_sequences)
        self.capabilities: frozenset[Capability] = frozenset({"embeddings", "generation", "save"})
        self.facts: ModelFacts = model_facts(found)
        self.limits = BackendLimits(
            n_batch=n_batch,
            n_ubatch=min(settings.ubatch, n_batch),
            n_outputs=logits_rows(settings),
            n_hidden=n_batch,
            n_sequences=n_sequences,
            n_context=settings.context,
            n_pool=settings.context * n_sequences,
            shared_cells=False,
            n_vocab=found.config.vocab_size,
        )
        self.state_traits: Mapping[str, str] = state_traits(found)
        self._runner = GraphRunner(session, self._cache, self._options, self.limits, found.config.decoder.hidden_size)

    @property
    def cache(self) -> KvCache:
        """What the sequences keep."""
        return self._cache

    def decode(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """Append each slice to its sequence and return the chosen logits rows; see ``backend.Backend.decode``."""
        n_rows = check_batch(slices, self._cache.lengths, self.limits, self.limits.n_outputs)
        return self._compute("logits", slices, n_rows)

    def hidden_states(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """Append each slice to its sequence and return the hidden states; see ``backend.Backend.hidden_states``.

        The output matrix is computed for none of them.
        """
        if "embeddings" not in self.capabilities:
            raise UnsupportedError("this model gives no embeddings here")
        whole = [TokenSlice(slice_.sequence, slice_.tokens, len(slice_.tokens)) for slice_ in slices]
        n_rows = check_batch(whole, self._cache.lengths, self.limits, self.limits.n_hidden)
        return self._compute("hidden_states", whole, n_rows)

    def text_vectors(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """UnsupportedError: the graph of a decoder pools nothing."""
        raise UnsupportedError("the graph of this model pools nothing")

    def _compute(self, output: Output, slices: Sequence[TokenSlice], n_rows: int) -> npt.NDArray[np.float32]:
        """Run ``slices``, which are checked already: ``n_rows`` rows of ``output``."""
        runner = self._open_runner()
        before = [(slice_.sequence, self._cache.lengths[slice_.sequence]) for slice_ in slices]
        arrays = list[TokenSlice]()
        for slice_ in slices:
            tokens = np.asarray(slice_.tokens, np.int64)
            check_ids(tokens, self.limits.n_vocab)
            arrays.append(slice_._replace(tokens=tokens))
        rows = runner.room(output, n_rows)
        order: list[int] = []  # where the rows that are computed belong
        try:
            for pieces in cut_slices(arrays):
                for run in plan_runs([piece.slice_ for piece in pieces], self._cache.lengths, self._cache.capacity):
                    first = len(order)
                    for piece in map(pieces.__getitem__, run.members):
                        order += range(piece.first_row, piece.first_row + piece.slice_.n_outputs)
                    members = [pieces[place].slice_ for place in run.members]
                    self._run(runner, output, run, members, rows[first : len(order)])
        except BackendError:
            for sequence, length in before:  # all of the step or nothing of it
                self._cache.lengths[sequence] = length
            raise
        if order != sorted(order):
            rows[order] = rows.copy()
        return rows

    def _run(
        self, runner: GraphRunner, output: Output, run: Run, members: list[TokenSlice], rows: npt.NDArray[np.float32]
    ) -> None:
        try:
            runner.run(output, run, members, rows)
        except Exception as error:  # it raises bare RuntimeErrors and classes of its own
            if self.abort_flag.is_set:
                raise DecodeAbortedError("decode was stopped") from error
            raise BackendError(f"ONNX Runtime failed to decode: {explain(error)}") from error
        for sequence, tokens, _count in members:
            self._cache.wrote(sequence, len(tokens))

    def sequence_length(self, sequence: int) -> int:
        """Number of tokens in the cache of ``sequence``."""
        check_sequence(sequence, self._cache.lengths)
        return self._cache.lengths[sequence]

    def copy_sequence(self, source: int, target: int, length: int | None = None) -> bool:
        """Make ``target`` begin as ``source`` does: every sequence has cells of its own, so it is a copy."""
        self._open_runner()
        wanted = check_copy(source, target, length, self._cache.lengths)
        self._cache.drop(target)
        if wanted:
            self._cache.copy(source, target, wanted)
        return True

    def truncate_sequence(self, sequence: int, length: int) -> bool:
        """Keep the first ``length`` tokens: always possible, what follows them is written over."""
        self._open_runner()
        check_cut(sequence, length, self._cache.lengths)
        self._cache.lengths[sequence] = length
        return True

    def shift_sequence(self, sequence: int, keep: int, drop: int) -> bool:
        """False: what is in the cache is turned to its position already."""
        self._open_runner()
        now = self.sequence_length(sequence)
        if not (keep >= 0 and drop > 0 and keep + drop <= now):
            raise BackendError(f"{drop} tokens after {keep} cannot be taken out of {now}")
        return False

    def drop_sequence(self, sequence: int) -> None:
        """Forget ``sequence``, and give its memory back."""
        self._open_runner()
        check_sequence(sequence, self._cache.lengths)
        self._cache.drop(sequence)

    def set_adapters(self, uses: Sequence[AdapterUse]) -> None:
        """NotFoundError for any: an ONNX model has none; see ``backend.Backend.set_adapters``."""
        self._open_runner()
        if uses:
            raise NotFoundError(
                f"this model has no adapter {uses[0].name[:80]!r}",
                hint="ONNX models have none here: edgellm pack MODEL --format gguf --adapter NAME=PATH",
            )

    def saved_bytes(self, sequence: int, length: int | None = None) -> int:
        """How many bytes ``save_sequence`` would write."""
        return state_bytes(self._cache, checked_length(sequence, length, self._cache.lengths))

    def save_sequence(self, sequence: int, path: Path, length: int | None = None) -> bool:
        """Write the state of the first ``length`` tokens into the file ``path``; see ``backend.Backend``."""
        self._open_runner()
        write_state(self._cache, sequence, checked_length(sequence, length, self._cache.lengths), path)
        return True

    def restore_sequence(self, sequence: int, path: Path, length: int) -> None:
        """Make ``sequence`` hold the ``length`` tokens whose state ``path`` holds; see ``backend.Backend``."""
        self._open_runner()
        self.drop_sequence(sequence)
        if not 0 < length <= self.limits.n_context:
            raise BackendError(f"a state of {length} tokens: 1 to {self.limits.n_context} fit into a sequence")
        read_state(self._cache, sequence, length, path)

    def set_threads(self, threads: int, batch_threads: int) -> None:
        """Change the number of threads: one number for all calls, the larger one.

        The threads belong to a session, so another one is opened; what the sequences hold stays.
        """
        runner = self._open_runner()
        check_threads(threads, batch_threads)
        wanted = max(threads, batch_threads)
        if wanted != self._threads:
            runner.replace(lambda: self._prepared.open(wanted, spin=self._spin))
            self._threads = wanted

    def close(self) -> None:
        """Free the model and the cache."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None
            self._cache.close()
            self._prepared.close()

    def _open_runner(self) -> GraphRunner:
        if self._runner is None:
            raise BackendError("the model is closed")
        return self._runner
