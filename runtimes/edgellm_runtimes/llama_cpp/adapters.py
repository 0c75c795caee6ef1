"""The LoRA adapters of one loaded model: checked with it, loaded when first used, set on its context."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm.errors import BackendError, ModelFileError, NotFoundError, UsageError
from edgellm.formats.gguf import GGUFHeader, read_header
from edgellm.formats.gguf_adapter import check_adapter
from edgellm.formats.gguf_split import find_parts, read_model
from edgellm_runtimes.llama_cpp.library import log_position, log_since

if TYPE_CHECKING:
    from edgellm_runtimes.generation import AdapterUse

__all__ = ["LlamaAdapters"]


class LlamaAdapters:
    """The adapters in ``files``, by name, of the ``model`` that was loaded from ``model_path``.

    Their weights belong to the model: llama.cpp frees them with it. Raises ModelFileError for a file that is torn, is
    no adapter or belongs to another model, UnsupportedError, NotFoundError, AccessError.
    """

    def __init__(self, lib: Any, model: Any, model_path: Path, files: Mapping[str, Path]) -> None:
        self._lib = lib
        self._model = model
        self._files = dict(files)
        self._loaded: dict[str, Any] = {}
        self._current: dict[str, float] = {}
        self.names = tuple(sorted(files))
        self._header: GGUFHeader | None = None
        if files:
            self._header = read_model(find_parts(model_path), skip_arrays=True).header
            for name in self.names:
                self._check(name)

    def use(self, context: Any, uses: Sequence[AdapterUse]) -> None:
        """Set exactly these on ``context``; a scale of 0 is as good as leaving one out.

        llama.cpp reserves its graph anew at the next decode, so nothing is called when nothing changes. Raises
        NotFoundError, UsageError, ModelFileError, BackendError; then what was set stays set.
        """
        wanted = self._wanted(uses)
        if wanted == self._current:
            return
        handles = [self._handle(name) for name in wanted]
        adapters = (self._lib.llama_adapter_lora_p_ctypes * len(wanted))(*handles)
        scales = (ctypes.c_float * len(wanted))(*wanted.values())
        status = self._lib.llama_set_adapters_lora(context, adapters, len(wanted), scales)
        if status != 0:
            raise BackendError(f"llama.cpp could not set {', '.join(wanted) or 'no adapters'} (status {status})")
        self._current = wanted

    def _wanted(self, uses: Sequence[AdapterUse]) -> dict[str, float]:
        """Scales by name, checked."""
        scales: dict[str, float] = {}
        for use in uses:
            if use.name not in self._files:
                known = (
                    f"it has {', '.join(self.names)}" if self.names else "it has none: edgellm pack --adapter NAME=PATH"
                )
                raise NotFoundError(f"this model has no adapter {use.name[:80]!r}", hint=known)
            if use.name in scales:
                raise UsageError(f"the adapter {use.name!r} is asked for twice")
            if not math.isfinite(use.scale):
                raise UsageError(f"the scale of the adapter {use.name!r} is {use.scale}")
            scales[use.name] = use.scale
        return {name: scales[name] for name in sorted(scales) if scales[name] != 0}

    def _handle(self, name: str) -> Any:
        """The loaded adapter."""
        if name not in self._loaded:
            self._check(name)  # it may be another file by now than at the beginning
            path = self._files[name]
            mark = log_position()
            handle = self._lib.llama_adapter_lora_init(self._model, os.fsencode(path))
            if not handle:
                raise ModelFileError(
                    f"the adapter {name!r} ({path}) cannot be loaded: {log_since(mark) or 'no reason given'}",
                    hint="check the bundle with `edgellm verify`, or pack the adapter again",
                )
            self._loaded[name] = handle
        return self._loaded[name]

    def _check(self, name: str) -> None:
        assert self._header is not None
        path = self._files[name]
        shapes = {tensor.name: tensor.shape for tensor in self._header.tensors}
        check_adapter(read_header(path, skip_arrays=True), str(path), self._header.architecture, shapes)
