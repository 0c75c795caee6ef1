"""One opened checkpoint."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from edgellm.errors import CheckpointError, UnsupportedError
from edgellm.files import os_errors
from edgellm.sources.repository_files import CHECKPOINT_FILES
from edgellm_converters.checkpoint.files import read_json
from edgellm_converters.checkpoint.sentence import SentenceConfig, read_sentence_config
from edgellm_converters.checkpoint.tensors import TensorRef, find_tensors
from edgellm_converters.pread import read_at

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Checkpoint", "open_checkpoint"]

READ_DTYPES = ("BF16", "F16", "F32")


class Checkpoint:
    """A checkpoint whose headers were read; tensor data is read on demand, by rows, from any thread.

    Files are read with ``pread`` into the caller's buffers, so that no page of them counts towards this process.
    """

    def __init__(
        self, path: Path, config: dict[str, Any], generation_config: dict[str, Any], tensors: dict[str, TensorRef]
    ) -> None:
        self.path = path
        self.name = path.resolve().name
        self.config = config
        self.generation_config = generation_config
        self.tensors: Mapping[str, TensorRef] = MappingProxyType(tensors)
        self._descriptors: dict[Path, int] = {}
        self._lock = threading.Lock()

    @cached_property
    def sentence(self) -> SentenceConfig:
        """How sentence-transformers makes a vector of a text. Raises CheckpointError, UnsupportedError."""
        return read_sentence_config(self.path)

    def files(self) -> dict[str, Path]:
        """The files that the result depends on, by their names in the folder: configuration, tokenizer and weights."""
        paths = {tensor.path for tensor in self.tensors.values()}
        paths |= {self.path / name for name in CHECKPOINT_FILES if (self.path / name).is_file()}
        from edgellm_converters.arch import is_encoder

        if is_encoder(self.config):
            paths |= set(self.sentence.files)
        return {path.relative_to(self.path).as_posix(): path for path in sorted(paths)}

    def read_into(self, tensor: TensorRef, offset_bytes: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with the tensor's bytes from ``offset_bytes`` on. Raises CheckpointError if they are gone."""
        descriptor = self._descriptor(tensor.path)
        with os_errors(f"read {tensor.path}"):
            count = read_at(descriptor, tensor.start + offset_bytes, buffer)
        if count < len(buffer):
            raise CheckpointError(f"{tensor.path} became shorter while it was read", hint="run the command again")

    def read_rows(self, name: str, first: int, count: int) -> NDArray[np.float32]:
        """Rows ``first`` to ``first + count`` of a tensor as float32 [count, row length]."""
        import numpy as np

        from edgellm_converters.checkpoint.floats import to_float32

        tensor = self.tensors[name]
        row_bytes = tensor.row_length * tensor.item_bytes
        raw = np.empty(count * row_bytes, np.uint8)
        self.read_into(tensor, first * row_bytes, raw.data)
        values = np.empty((count, tensor.row_length), np.float32)
        to_float32(raw, tensor.dtype, values.reshape(-1))
        return values

    def close(self) -> None:
        """Close the files. Reading afterwards opens them again."""
        with self._lock:
            for descriptor in self._descriptors.values():
                os.close(descriptor)
            self._descriptors.clear()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            self.close()

    def _descriptor(self, path: Path) -> int:
        with self._lock:
            descriptor = self._descriptors.get(path)
            if descriptor is None:
                with os_errors(f"read {path}"):
                    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                self._descriptors[path] = descriptor
            return descriptor


def open_checkpoint(folder: Path) -> Checkpoint:
    """Open the checkpoint in ``folder``, reading its configuration and the headers of its safetensors.

    Raises CheckpointError for anything torn, lying or hostile, UnsupportedError for weights that we do not read
    (pickles, already quantized checkpoints), NotFoundError or AccessError when the folder cannot be read.
    """
    config = read_json(folder, "config.json")
    quantization = config.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method", "unknown") if isinstance(quantization, dict) else "unknown"
        raise UnsupportedError(
            f"{folder} is already quantized (method {str(method)[:40]})",
            hint="take the original checkpoint in BF16, F16 or F32",
        )
    tensors = find_tensors(folder)
    for tensor in tensors.values():
        if tensor.dtype not in READ_DTYPES and not _is_ignored(tensor.name):
            raise UnsupportedError(
                f"the tensor {tensor.name[:200]!r} of {folder} has dtype {tensor.dtype}",
                hint=f"take a checkpoint with weights in {', '.join(READ_DTYPES)}",
            )
    generation = read_json(folder, "generation_config.json") if (folder / "generation_config.json").exists() else {}
    return Checkpoint(folder, config, generation, tensors)


def _is_ignored(name: str) -> bool:
    from edgellm_converters.arch.plan import is_ignored

    return is_ignored(name)
