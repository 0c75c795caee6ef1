"""The command that installs into the environment that runs this."""

from __future__ import annotations

import importlib.util
import shlex
import sys

__all__ = ["ONNX_EXTRA", "PACK_EXTRA", "REBUILD_LLAMA", "pip_install"]

ONNX_EXTRA = "'edgellm[onnx]'"
PACK_EXTRA = "'edgellm[pack]'"
REBUILD_LLAMA = "--force-reinstall --no-cache-dir llama-cpp-python"


def pip_install(arguments: str, python: str = "", has_pip: bool | None = None) -> str:
    """``PYTHON -m pip install ARGUMENTS``, or with uv in an environment that has no pip.

    ``pip`` alone would be whichever comes first on the path, often that of another environment.
    """
    python = shlex.quote(python or sys.executable or "python3")
    if importlib.util.find_spec("pip") is not None if has_pip is None else has_pip:
        return f"{python} -m pip install {arguments}"
    return f"uv pip install --python {python} {arguments}"
