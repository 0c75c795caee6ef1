"""One loaded GGUF model behind the Backend protocol."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgellm.errors import BackendError, UnsupportedError
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm_runtimes._native import AbortFlag, GraphStop
from edgellm_runtimes.backend import (
    AbortSignal,
    BackendLimits,
    BackendSettings,
    CacheFullError,
    Capability,
    DecodeAbortedError,
    TokenSlice,
    Vocabulary,
)
from edgellm_runtimes.checks import (
    check_batch,
    check_copy,
    check_cut,
    check_ids,
    check_sequence,
    logits_rows,
    saved_length,
)
from edgellm_runtimes.llama_cpp.adapters import LlamaAdapters
from edgellm_runtimes.llama_cpp.batch import BatchArrays
from edgellm_runtimes.llama_cpp.facts import model_facts
from edgellm_runtimes.llama_cpp.handles import LlamaHandles
from edgellm_runtimes.llama_cpp.library import library, log_position, log_since
from edgellm_runtimes.llama_cpp.loading import check_settings, create_context, hidden_rows, load_model
from edgellm_runtimes.llama_cpp.state import read_state, state_bytes, state_traits, write_state
from edgellm_runtimes.llama_cpp.vocabulary import LlamaVocabulary

if TYPE_CHECKING:
    from edgellm_runtimes.generation import AdapterUse

__all__ = ["LlamaBackend"]

_CAPABILITIES: frozenset[Capability] = frozenset(("adapters", "embeddings", "generation", "save", "shift", "threads"))
_NO_SLOT, _ABORTED = 1, 2  # return values of llama_decode
_HIDDEN_STATES = "result_embd_pooled"  # what llama.cpp calls the output of the last norm while embeddings are on


class LlamaBackend(LlamaHandles):
    """A GGUF model loaded by llama.cpp, memory-mapped where it lies; see ``backend.Backend``.

    ``extra_ends`` are token ids that end a generation besides those that the file names; ``normalization`` is the
    Unicode form that the model's tokenizer brings text into, ``space_prefix`` says that it puts a space before a text.
    ``adapters`` are files of LoRA adapters by the names that ``set_adapters`` knows them by; each is checked at once
    and loaded when it is first used.
    """

    def __init__(
        self,
        path: Path,
        settings: BackendSettings,
        *,
        extra_ends: Iterable[int] = (),
        normalization: str = "",
        space_prefix: bool = False,
        adapters: Mapping[str, Path] | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        check_settings(settings)
        self._lib = lib = library()
        self.path = path
        abort_flag = AbortFlag()
        self.abort_flag: AbortSignal = abort_flag
        self._stop = GraphStop(_HIDDEN_STATES, _address(lib._lib.ggml_get_name))
        self._model = load_model(lib, path, settings, progress or SilentProgress(), cancel or CancelToken())
        try:
            self._adapters = LlamaAdapters(lib, self._model, path, adapters or {})
            vocabulary = lib.llama_model_get_vocab(self._model)
            n_hidden = hidden_rows(settings, lib.llama_vocab_n_tokens(vocabulary))
            self._context = create_context(lib, self._model, settings, abort_flag, self._stop, n_hidden)
            self.vocabulary: Vocabulary = LlamaVocabulary(lib, vocabulary, extra_ends, normalization, space_prefix)
        except BaseException:
            self.close()
            raise
        self.capabilities: frozenset[Capability] = _CAPABILITIES
        self.settings = settings
        self.facts = model_facts(lib, self._model)
        self.adapters: tuple[str, ...] = self._adapters.names
        self.limits = BackendLimits(
            n_batch=int(lib.llama_n_batch(self._context)),
            n_ubatch=int(lib.llama_n_ubatch(self._context)),
            n_outputs=logits_rows(settings),
            n_hidden=min(n_hidden, int(lib.llama_n_batch(self._context))),
            n_sequences=settings.sequences + settings.spare_sequences,
            n_context=settings.context,
            n_pool=int(lib.llama_n_ctx(self._context)),
            shared_cells=settings.shared_cells,
            n_vocab=self.vocabulary.n_tokens,
        )
        self.state_traits: Mapping[str, str] = state_traits(lib, self._model, settings, self.limits.n_pool)
        self._memory = lib.llama_get_memory(self._context)
        self._window = int(lib.llama_model_n_swa(self._model))
        self._lengths = [0] * self.limits.n_sequences
        self._copied: set[int] = set()  # targets and sources of copies that llama.cpp makes with the next decode
        self._batch = BatchArrays(lib, self.limits.n_batch)
        self._rows: npt.NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._rows_address = 0

    def decode(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """Append each slice to its sequence and return the chosen logits rows; see ``backend.Backend.decode``."""
        n_rows = check_batch(slices, self._lengths, self.limits, self.limits.n_outputs)
        self._compute(slices)
        return self._logits(n_rows)

    def hidden_states(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """Append each slice to its sequence and return the hidden states; see ``backend.Backend.hidden_states``.

        The graph ends before the output matrix, which would be up to half of the work of a small model.
        """
        if "embeddings" not in self.capabilities:
            raise UnsupportedError("this model gives no embeddings here")
        context = self._open_context()
        whole = [TokenSlice(slice_.sequence, slice_.tokens, len(slice_.tokens)) for slice_ in slices]
        n_rows = check_batch(whole, self._lengths, self.limits, self.limits.n_hidden)
        self._lib.llama_set_embeddings(context, True)
        self._stop.set()
        try:
            self._compute(whole)
        finally:
            self._stop.clear()
            self._lib.llama_set_embeddings(context, False)
        pointer = self._lib.llama_get_embeddings(context)
        return np.ctypeslib.as_array(pointer, shape=(n_rows, self.facts.n_embd))

    def text_vectors(self, slices: Sequence[TokenSlice]) -> npt.NDArray[np.float32]:
        """UnsupportedError: texts are pooled by whoever asks for their hidden states."""
        raise UnsupportedError("llama.cpp's pooling is not used here")

    def _compute(self, slices: Sequence[TokenSlice]) -> None:
        """One call of llama.cpp for ``slices``, which are checked already."""
        context = self._open_context()
        n_tokens = self._batch.fill(slices, self._lengths)
        check_ids(self._batch.tokens[:n_tokens], self.limits.n_vocab)
        mark = log_position()
        status = self._lib.llama_decode(context, self._batch.struct)
        self._copied.clear()
        if status != 0:
            self._read_lengths(slices)
            if status == _NO_SLOT:
                raise CacheFullError(f"the KV cache of {self.limits.n_pool} tokens has no room for {n_tokens} more")
            if status == _ABORTED:
                raise DecodeAbortedError("decode was stopped")
            raise BackendError(f"llama.cpp failed to decode (status {status}): {log_since(mark) or 'no reason given'}")
        for slice_ in slices:
            self._lengths[slice_.sequence] += len(slice_.tokens)

    def _logits(self, n_rows: int) -> npt.NDArray[np.float32]:
        pointer = self._lib.llama_get_logits(self._context)  # also brings the rows into batch order
        if n_rows == 0:
            return self._rows[:0]
        address = ctypes.addressof(pointer.contents)
        if address != self._rows_address or n_rows > len(self._rows):
            shape = (n_rows, self.limits.n_vocab)
            self._rows = np.ctypeslib.as_array(pointer, shape=shape)
            self._rows_address = address
        return self._rows[:n_rows]

    def _read_lengths(self, slices: Sequence[TokenSlice]) -> None:
        """After a failed decode the cache says what was kept."""
        for slice_ in slices:
            last = self._lib.llama_memory_seq_pos_max(self._memory, slice_.sequence)
            self._lengths[slice_.sequence] = last + 1

    def sequence_length(self, sequence: int) -> int:
        """Number of tokens in the cache of ``sequence``."""
        check_sequence(sequence, self._lengths)
        return self._lengths[sequence]

    def copy_sequence(self, source: int, target: int, length: int | None = None) -> bool:
        """Make ``target`` begin as ``source`` does; no data moves where cells are shared."""
        wanted = check_copy(source, target, length, self._lengths)
        self.drop_sequence(target)
        if wanted == 0:
            return True
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        if not self.limits.shared_cells:
            self._copied |= {source, target}
        self._lengths[target] = self._lengths[source]
        if not self.truncate_sequence(target, wanted):
            self.drop_sequence(target)
            return False
        return True

    def truncate_sequence(self, sequence: int, length: int) -> bool:
        """Keep the first ``length`` tokens; False, with nothing changed, when the cache cannot be cut there."""
        self._open_context()
        if length == check_cut(sequence, length, self._lengths):
            return True
        if length and self._window:
            # a layer with a sliding window has dropped older cells: what follows `length` needs the window before it
            oldest = self._lib.llama_memory_seq_pos_min(self._memory, sequence)
            if oldest > max(0, length - self._window):
                return False
        if not self._lib.llama_memory_seq_rm(self._memory, sequence, length, -1):
            return False
        self._lengths[sequence] = length
        return True

    def shift_sequence(self, sequence: int, keep: int, drop: int) -> bool:
        """Take tokens out and move those behind forward; see ``backend.Backend.shift_sequence``."""
        self._open_context()
        check_sequence(sequence, self._lengths)
        now = self._lengths[sequence]
        if not (keep >= 0 and drop > 0 and keep + drop <= now):
            raise BackendError(f"{drop} tokens after {keep} cannot be taken out of {now}")
        if not self._lib.llama_memory_can_shift(self._memory):
            return False
        if not self._lib.llama_memory_seq_rm(self._memory, sequence, keep, keep + drop):
            return False
        self._lib.llama_memory_seq_add(self._memory, sequence, keep + drop, -1, -drop)
        self._lengths[sequence] = now - drop
        return True

    def drop_sequence(self, sequence: int) -> None:
        """Forget ``sequence``."""
        self._open_context()
        check_sequence(sequence, self._lengths)
        self._lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        self._lengths[sequence] = 0

    def set_adapters(self, uses: Sequence[AdapterUse]) -> None:
        """Compute with these LoRA adapters from the next decode on; see ``backend.Backend.set_adapters``."""
        self._adapters.use(self._open_context(), uses)

    def saved_bytes(self, sequence: int, length: int | None = None) -> int:
        """About how many bytes ``save_sequence`` would write: every token takes the same."""
        wanted = saved_length(sequence, length, self._lengths)
        return -(-state_bytes(self._lib, self._open_context(), sequence) * wanted // self._lengths[sequence])

    def save_sequence(self, sequence: int, path: Path, length: int | None = None) -> bool:
        """Write the state of the first ``length`` tokens into the file ``path``; see ``backend.Backend``.

        A prefix is copied to a free sequence and cut there, which moves no data. Saving everything and cutting after
        the restore would write what follows the prefix to the disk: bytes for nothing, and another user's words.
        """
        context = self._open_context()
        self._check_copied(sequence)
        if saved_length(sequence, length, self._lengths) == self._lengths[sequence]:
            write_state(self._lib, context, sequence, path)
            return True
        if not self.limits.shared_cells:
            return False
        spare = next((other for other, tokens in enumerate(self._lengths) if tokens == 0), None)
        if spare is None:
            raise CacheFullError("saving a part of a sequence needs a free one, and all are in use")
        if not self.copy_sequence(sequence, spare, length):
            return False
        try:
            write_state(self._lib, context, spare, path)
        finally:
            self.drop_sequence(spare)
        return True

    def restore_sequence(self, sequence: int, path: Path, length: int) -> None:
        """Make ``sequence`` hold the ``length`` tokens whose state ``path`` holds; see ``backend.Backend``."""
        context = self._open_context()
        self._check_copied(sequence)
        self.drop_sequence(sequence)
        if not 0 < length <= self.limits.n_context:
            raise BackendError(f"a state of {length} tokens: 1 to {self.limits.n_context} fit into a sequence")
        try:
            read_state(self._lib, context, sequence, path)
            found = self._lib.llama_memory_seq_pos_max(self._memory, sequence) + 1
            if found != length:
                raise BackendError(f"{path} holds the state of {found} tokens where {length} were saved")
        except BaseException:
            self.drop_sequence(sequence)
            raise
        self._lengths[sequence] = length

    def _check_copied(self, sequence: int) -> None:
        """A copy that is still to be made would write over what is restored, and what is saved would miss it."""
        check_sequence(sequence, self._lengths)
        if sequence in self._copied:
            raise BackendError(f"sequence {sequence} is copied with the next decode; its state cannot be moved now")

    def close(self) -> None:
        """Free the context and the model."""
        super().close()
        self._rows, self._rows_address = np.empty((0, 0), np.float32), 0  # they lay there


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
