"""Calls of the graph: our memory bound to its inputs and outputs, nothing copied on either side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgellm_runtimes.backend import BackendLimits, TokenSlice
from edgellm_runtimes.onnx.runs import Run

if TYPE_CHECKING:
    from edgellm_runtimes.onnx.kv_cache import KvCache

__all__ = ["GraphRunner", "Output"]

Output = Literal["logits", "hidden_states"]

_MOST_BINDINGS = 64


class GraphRunner:
    """Runs ``session`` over ``cache``. What ``room`` gives back is valid until its next call for the same output."""

    def __init__(self, session: Any, cache: KvCache, options: Any, limits: BackendLimits, n_embd: int) -> None:
        self._session = session
        self._cache = cache
        self._options = options
        self._widths: dict[Output, int] = {"logits": limits.n_vocab, "hidden_states": n_embd}
        self._rooms: dict[Output, npt.NDArray[np.float32]] = {}
        self._bindings: dict[tuple[Output, int, int], Any] = {}

    def room(self, output: Output, n_rows: int) -> npt.NDArray[np.float32]:
        """Memory for ``n_rows`` rows of ``output``."""
        held = self._rooms.get(output)
        if held is None or n_rows > len(held):
            held = self._rooms[output] = np.empty((max(1, n_rows), self._widths[output]), np.float32)
        return held[:n_rows]

    def run(self, output: Output, run: Run, members: Sequence[TokenSlice], rows: npt.NDArray[np.float32]) -> None:
        """One call that fills ``rows``, a part of the room of ``output``, in the order of ``members``."""
        n_rows = run.end - run.first
        ids = np.zeros((n_rows, run.width), np.int64)
        new = np.zeros(n_rows, np.int32)
        # How many tokens each row has afterwards: the graph sums up the mask. An idle row must not have 0.
        mask = np.zeros((n_rows, self._cache.capacity), np.int64)
        mask[:, 0] = 1
        wanted: list[int] = []
        for sequence, tokens, n_outputs in members:
            row, count = sequence - run.first, len(tokens)
            ids[row, :count] = tokens
            new[row] = count
            mask[row, 0] = self._cache.lengths[sequence] + count
            end = row * run.width + count
            wanted += range(end - n_outputs, end)
        indices = np.array(wanted, np.int64)
        scored = np.array([len(wanted) if output == "logits" else 0], np.int64)  # positions that go through the head
        binding = self._binding(output, run.first, run.end)
        for name, value in (
            ("input_ids", ids),
            ("attention_mask", mask),
            ("query_lens", new),
            ("logits_indices", indices),
            ("logits_count", scored),
        ):
            binding.bind_input(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)
        binding.bind_output(output, "cpu", 0, np.float32, (len(indices), 1, rows.shape[-1]), rows.ctypes.data)
        self._session.run_with_iobinding(binding, self._options)

    def replace(self, open_session: Callable[[], Any]) -> None:
        """Go on with another session; the old one is freed before."""
        self._bindings.clear()
        self._session = None
        self._session = open_session()

    def close(self) -> None:
        """Free the session."""
        self._bindings.clear()
        self._session = None
        self._rooms.clear()

    def _binding(self, output: Output, first: int, end: int) -> Any:
        """The cache of sequences ``first`` to ``end``, bound as past and present: it is changed where it lies."""
        key = (output, first, end)
        binding = self._bindings.pop(key, None)
        if binding is None:
            binding = self._session.io_binding()
            for number, array in enumerate(self._cache.arrays):
                part = array[first:end]
                kind = f"{number // 2}.{('key', 'value')[number % 2]}"
                place = ("cpu", 0, part.dtype.type, part.shape, part.ctypes.data)
                binding.bind_input(f"past_key_values.{kind}", *place)
                binding.bind_output(f"present.{kind}", *place)
            while len(self._bindings) >= _MOST_BINDINGS:
                del self._bindings[next(iter(self._bindings))]
        self._bindings[key] = binding
        return binding
