"""The KV cache of one sequence as a file: llama.cpp's own state format, which knows no model and trusts its reader."""

from __future__ import annotations

import ctypes
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgellm.errors import BackendError
from edgellm.files import os_errors
from edgellm_runtimes.backend import BackendSettings, CacheFullError
from edgellm_runtimes.checks import FULL_DISK, no_space
from edgellm_runtimes.llama_cpp.library import log_position, log_since

__all__ = ["read_state", "state_bytes", "state_traits", "write_state"]

_FULL_POOL = ("available cells in kv cache", "not enough cells in kv cache")
_HEADER_BYTES = 12  # of the file: magic, version, number of tokens; we leave the tokens out


def state_traits(lib: Any, model: Any, settings: BackendSettings, n_pool: int) -> dict[str, str]:
    """What a state depends on besides the weights and adapters. States of equal traits can be exchanged."""
    return {
        "library": f"llama-cpp-python {_package_version()}",
        "kv_type_k": settings.kv_type_k,
        "kv_type_v": settings.kv_type_v,
        "flash_attention": str(settings.flash_attention),  # without it V lies transposed
        "rope": _rope(lib, model, n_pool),
    }


def state_bytes(lib: Any, context: Any, sequence: int) -> int:
    """Bytes that ``write_state`` would write for all tokens of ``sequence``."""
    return _HEADER_BYTES + int(lib.llama_state_seq_get_size(context, sequence))


def write_state(lib: Any, context: Any, sequence: int, path: Path) -> None:
    """Write the state of ``sequence`` to ``path``, one layer at a time. Raises NoSpaceError, BackendError."""
    mark = log_position()
    written = lib.llama_state_seq_save_file(context, os.fsencode(path), sequence, None, 0)
    if not written:
        reason = log_since(mark) or "no reason given"
        if any(os.strerror(number) in reason for number in FULL_DISK):
            raise no_space(path)
        raise BackendError(f"llama.cpp could not save the state of sequence {sequence} to {path}: {reason}")
    with os_errors(f"save the state of a sequence to {path}"):
        if path.stat().st_size != written:  # the last bytes go out when the file is closed, which reports no error
            raise no_space(path)


def read_state(lib: Any, context: Any, sequence: int, path: Path) -> None:
    """Replace what ``sequence`` holds with the state in ``path``. Raises CacheFullError, BackendError."""
    mark = log_position()
    count, none = ctypes.c_size_t(0), (ctypes.c_int32 * 1)()
    if not lib.llama_state_seq_load_file(context, os.fsencode(path), sequence, none, 0, ctypes.byref(count)):
        reason = log_since(mark) or "no reason given"
        if any(text in reason for text in _FULL_POOL):
            raise CacheFullError(f"the KV cache has no room for the state of {path.name}")
        raise BackendError(f"llama.cpp could not restore the state in {path}: {reason}")


def _package_version() -> str:
    try:
        return version("llama-cpp-python")
    except PackageNotFoundError:
        return "unknown"


def _rope(lib: Any, model: Any, n_pool: int) -> str:
    """Models with two sets of RoPE factors take the long ones in a context beyond their first training's."""
    original = _metadata_number(lib, model, ".rope.scaling.original_context_length")
    return "long" if 0 < original < n_pool else "plain"


def _metadata_number(lib: Any, model: Any, suffix: str) -> int:
    """A number of the GGUF metadata below the architecture's name; 0 where there is none."""
    buffer = ctypes.create_string_buffer(256)
    if lib.llama_model_meta_val_str(model, b"general.architecture", buffer, len(buffer)) < 0:
        return 0
    name = buffer.value + suffix.encode()
    if lib.llama_model_meta_val_str(model, name, buffer, len(buffer)) < 0 or not buffer.value.isdigit():
        return 0
    return int(buffer.value)
