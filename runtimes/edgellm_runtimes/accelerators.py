"""Which accelerators the installed llama.cpp was built for."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

__all__ = ["installed_accelerators", "library_folder"]

_KINDS = ("cuda", "metal", "vulkan", "opencl")


def installed_accelerators() -> tuple[str, ...]:
    """The kinds whose ggml library lies in the llama_cpp package; the package is not imported."""
    folder = library_folder()
    if folder is None:
        return ()
    return tuple(kind for kind in _KINDS if any(folder.glob(f"*ggml-{kind}.*")))


def library_folder() -> Path | None:
    """Where llama-cpp-python's shared libraries lie; None when it is not installed."""
    folder = os.environ.get("LLAMA_CPP_LIB_PATH")
    if folder is not None:
        return Path(folder)
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "lib"
