"""ONNX Runtime: imported late, with nothing sent anywhere and nothing written to the user's terminal."""

from __future__ import annotations

import os
import threading
from typing import Any

from edgellm.errors import UnsupportedError
from edgellm.pip import ONNX_EXTRA, pip_install

__all__ = ["MINIMUM_VERSION", "explain", "library", "library_version", "log_level"]

MINIMUM_VERSION = (1, 32)  # the first whose GroupQueryAttention takes the number of tokens of each row on the CPU
_FATAL, _VERBOSE = 4, 0  # severity levels of its log

_lock = threading.Lock()
_library: Any = None


def library() -> Any:
    """The module ``onnxruntime``. Raises UnsupportedError where it is not installed, broken or too old."""
    global _library
    with _lock:
        if _library is None:
            _library = _import()
        return _library


def library_version() -> str:
    """As in "1.32.0"."""
    return str(library().__version__)


def log_level() -> int:
    """What sessions may log: errors come back as exceptions, and say the same."""
    return _VERBOSE if os.environ.get("EDGELLM_DEBUG") == "1" else _FATAL


def explain(error: Exception) -> str:
    """What ONNX Runtime says in an exception, in one line and without its codes."""
    text = " ".join(str(error).split())
    return text.rpartition("Status Message: ")[2].rpartition(" : FAIL : ")[2][:500] or type(error).__name__


def _import() -> Any:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # its wheels send usage data unless this is set before the import
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            "this is an ONNX model, and ONNX Runtime is not installed", hint=pip_install(ONNX_EXTRA)
        ) from error
    except (ImportError, OSError) as error:
        raise UnsupportedError(
            f"ONNX Runtime cannot be loaded: {error}", hint=pip_install(f"--force-reinstall {ONNX_EXTRA}")
        ) from error
    found = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2] if part.isdigit())
    if found < MINIMUM_VERSION:
        wanted = ".".join(str(part) for part in MINIMUM_VERSION)
        raise UnsupportedError(
            f"ONNX Runtime {onnxruntime.__version__} is installed; {wanted} or newer is needed",
            hint=pip_install(f"--upgrade {ONNX_EXTRA}"),
        )
    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(log_level())
    return onnxruntime
