"""Which accelerators the installed llama.cpp was built for."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

__all__ = ["installed_accelerators"]

_KINDS = ("cuda", "metal", "vulkan", "opencl")


def installed_accelerators() -> tuple[str, ...]:
    """The kinds whose ggml library lies in the llama_cpp package; the package is not imported."""
    spec = importlib.util.find_spec("llama_cpp")
    folder = os.environ.get("LLAMA_CPP_LIB_PATH")
    if folder is None:
        if spec is None or not spec.submodule_search_locations:
            return ()
        folder = str(Path(spec.submodule_search_locations[0]) / "lib")
    return tuple(kind for kind in _KINDS if any(Path(folder).glob(f"*ggml-{kind}.*")))
