"""ggml's own quantization, called in the library that llama-cpp-python brings along. The interpreter lock is free."""

from __future__ import annotations

import ctypes
import functools
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgellm.errors import BackendError
from edgellm.formats.ggml_types import TYPES
from edgellm.pip import REBUILD_LLAMA, pip_install

__all__ = ["is_valid", "quantize"]


@functools.cache
def _library() -> ctypes.CDLL:
    """libggml-base, found without importing llama_cpp. Raises BackendError when it is not there."""
    spec = find_spec("llama_cpp")
    folders = [Path(folder) / "lib" for folder in (spec.submodule_search_locations or [])] if spec else []
    for folder in folders:
        for name in ("libggml-base.so", "libggml-base.dylib", "ggml-base.dll"):
            if (folder / name).exists():
                return _declare(ctypes.CDLL(str(folder / name)))
    raise BackendError(
        "libggml-base was not found beside llama-cpp-python", hint=f"install it again: {pip_install(REBUILD_LLAMA)}"
    )


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    integer, pointer = ctypes.c_int64, ctypes.c_void_p
    library.ggml_quantize_init.argtypes = [ctypes.c_int]
    library.ggml_quantize_init.restype = None
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, integer, integer, integer, pointer]
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_validate_row_data.argtypes = [ctypes.c_int, pointer, ctypes.c_size_t]
    library.ggml_validate_row_data.restype = ctypes.c_bool
    return library


def quantize(type_name: str, values: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
    """Quantize ``values`` (1-D, contiguous, whole blocks) into ``out``, which has exactly the bytes they take.

    Without an importance matrix ggml treats every block alone, so that row lengths do not matter here.
    """
    library, type_id = _library(), TYPES[type_name].id
    library.ggml_quantize_init(type_id)
    written = library.ggml_quantize_chunk(type_id, values.ctypes.data, out.ctypes.data, 0, 1, values.size, None)
    if written != out.size:
        raise BackendError(f"ggml wrote {written} bytes of {type_name} where {out.size} were expected")


def is_valid(type_name: str, data: NDArray[np.uint8]) -> bool:
    """ggml's own check of quantized data: no scale is NaN or infinite."""
    return bool(_library().ggml_validate_row_data(TYPES[type_name].id, data.ctypes.data, data.size))
