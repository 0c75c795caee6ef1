"""The shared library: imported late, its log kept away from the user's terminal."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
import threading
import types
from collections import deque
from typing import Any, NamedTuple

from edgellm.errors import BackendError
from edgellm.pip import REBUILD_LLAMA, pip_install
from edgellm_runtimes.llama_cpp.amx import leave_out_amx

__all__ = ["explain_aborts", "library", "log_position", "log_since"]

_KEPT_LINES = 400
_WARN_LEVEL, _ERROR_LEVEL, _CONTINUE_LEVEL = 3, 4, 5  # enum ggml_log_level

_lock = threading.Lock()
_library: Any = None
_abort_callback: Any = None
_log_callback: Any = None  # the C side keeps only the address: a collected callback would be a segmentation fault


class _LogLine(NamedTuple):
    number: int
    level: int
    text: str


class _LogRing:
    """The last lines that the library wrote. Appended from whichever thread runs native code."""

    def __init__(self) -> None:
        self.lines: deque[_LogLine] = deque(maxlen=_KEPT_LINES)
        self.count = 0
        self._partial = ""
        self._partial_level = 0

    def write(self, level: int, raw: bytes | None, _user_data: object) -> None:
        """The log callback: gathers fragments into lines."""
        text = (raw or b"").decode("utf-8", "replace")
        if os.environ.get("EDGELLM_DEBUG") == "1":
            sys.stderr.write(text)
        if level != _CONTINUE_LEVEL:
            self._partial_level = level
        *whole, self._partial = (self._partial + text).split("\n")
        for line in whole:
            if line.strip(" ."):
                self.count += 1
                self.lines.append(_LogLine(self.count, self._partial_level, line.strip()))


_ring = _LogRing()


def library() -> Any:
    """The low-level ctypes module of llama-cpp-python, its backend initialised. Raises BackendError.

    ``import llama_cpp`` also imports the high-level API (Jinja, numpy, a disk cache: 98 ms against 25 ms here), so the
    one module that is needed is loaded under an empty stand-in of its package.
    """
    global _library, _log_callback
    with _lock:
        if _library is None:
            os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # a failed assertion would start a debugger
            module = _import_low_level()
            _log_callback = module.llama_log_callback(_ring.write)
            module.llama_backend_init()
            leave_out_amx(module._lib)
            _library = module
        # Each time: importing the whole llama_cpp package meanwhile has put its own log function in this place.
        _library.llama_log_set(_log_callback, None)
        return _library


def explain_aborts() -> None:
    """From now on a failed assertion inside ggml ends this process with one clear error and status 1.

    ggml ends the process anyway, on some files that lie in ways its loader does not check; this is for programs that
    have one model and a user in front of them.
    """
    global _abort_callback
    lib = library()
    _abort_callback = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(_give_up)
    lib._lib.ggml_set_abort_callback(_abort_callback)


def _give_up(raw: bytes | None) -> None:
    reason = (raw or b"").decode("utf-8", "replace").rpartition("/")[2]
    text = (
        f"error: llama.cpp gave up on this model: {reason}\n"
        "hint: the file is damaged or lies about itself; `edgellm verify` checks a bundle, else fetch the file again\n"
    )
    os.write(2, text.encode())
    os._exit(1)


def _import_low_level() -> Any:
    stand_in = None
    try:
        if "llama_cpp" not in sys.modules:
            spec = importlib.util.find_spec("llama_cpp")
            if spec is None or spec.submodule_search_locations is None:
                raise BackendError("llama-cpp-python is not installed", hint=pip_install("llama-cpp-python"))
            stand_in = types.ModuleType("llama_cpp")
            stand_in.__path__ = list(spec.submodule_search_locations)
            stand_in.__spec__ = spec
            sys.modules["llama_cpp"] = stand_in
        return importlib.import_module("llama_cpp.llama_cpp")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise BackendError(
            f"llama.cpp's library cannot be loaded: {error}",
            hint=f"build it for this machine: {pip_install(REBUILD_LLAMA)}",
        ) from error
    finally:
        if stand_in is not None and sys.modules.get("llama_cpp") is stand_in:
            del sys.modules["llama_cpp"]  # whoever imports the whole package later gets the real one


def log_position() -> int:
    """A mark for ``log_since``."""
    return _ring.count


def log_since(position: int, limit: int = 3) -> str:
    """The last ``limit`` warnings and errors after ``position`` (any lines when there are none), joined by ``; ``."""
    recent = [line for line in list(_ring.lines) if line.number > position]
    serious = [line.text for line in recent if line.level in (_WARN_LEVEL, _ERROR_LEVEL)]
    return "; ".join((serious or [line.text for line in recent])[-limit:])
