"""Where llama.cpp's own tools and converter lie: build_tools.py makes them once, from what llama-cpp-python vendors.

The cache is $EDGELLM_ORACLE_CACHE, else $XDG_CACHE_HOME/edgellm-oracle, else ~/.cache/edgellm-oracle; it has one folder
per version of llama-cpp-python. It is read when this module is imported: the tests themselves run with an empty HOME.
Where the tools are missing a test is skipped, or fails under EDGELLM_REQUIRE_ORACLE=1 (`make oracle` sets it).
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = [
    "SCRIPTS",
    "SERVING_TOOLS",
    "TOOLS",
    "arm_python",
    "cache_folder",
    "convert_script",
    "is_built",
    "llama_source",
    "llama_tool",
    "missing",
    "python_server",
    "run_convert",
]

TOOLS = ("llama-gguf-split", "llama-quantize", "llama-perplexity", "llama-bench", "llama-tokenize", "llama-completion")
SERVING_TOOLS = ("llama-server", "llama-batched-bench")  # for benchmarks: `build_tools.py --serving`
SCRIPTS = ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py")
DONE = "built"  # written last: a folder without it is not used


def cache_folder() -> Path:
    """The folder of the tools for the installed llama-cpp-python; it exists only after build_tools.py has run."""
    return _CACHE / version("llama-cpp-python")


def _cache() -> Path:
    if chosen := os.environ.get("EDGELLM_ORACLE_CACHE"):
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "edgellm-oracle"


_CACHE = _cache()
_REQUIRED = os.environ.get("EDGELLM_REQUIRE_ORACLE") == "1"


def arm_python() -> Path:
    """Where fetch_arm_python.py unpacks a Python for 64-bit ARM."""
    return _CACHE / "arm64-python3.11"


def is_built(*, serving: bool = False) -> bool:
    """True when build_tools.py has finished for the installed llama-cpp-python; with ``serving``, the servers too."""
    folder = cache_folder()
    programs = TOOLS + SERVING_TOOLS if serving else TOOLS
    wanted = [*(folder / "bin" / name for name in programs), *(folder / "source" / name for name in SCRIPTS)]
    is_whole = (folder / DONE).exists() and all(path.exists() for path in wanted)
    return is_whole and (not serving or python_server().exists())


def python_server() -> Path:
    """The server in Python that llama-cpp-python's source archive brings as an example."""
    return cache_folder() / "examples" / "server" / "server.py"


def llama_source() -> Path:
    """llama.cpp's source tree: its two converters, conversion/ and gguf-py/. Skips the test when it is not there."""
    _need_tools()
    return cache_folder() / "source"


def llama_tool(name: str) -> Path:
    """The program `name`, for instance llama-quantize. Skips the test when it is not built."""
    _need_tools()
    return cache_folder() / "bin" / name


def convert_script() -> Path:
    """convert_hf_to_gguf.py in its source tree. Skips the test when it is not there."""
    return llama_source() / "convert_hf_to_gguf.py"


def convert_command(checkpoint: Path, out: Path, outtype: str, model_name: str) -> list[str]:
    """The command that runs the reference converter (see convert_wrapper.py) on `checkpoint`."""
    wrapper = Path(__file__).with_name("convert_wrapper.py")
    options = ["--outfile", str(out), "--outtype", outtype, "--model-name", model_name]
    return [sys.executable, str(wrapper), str(llama_source()), str(checkpoint), *options]


def run_convert(checkpoint: Path, out: Path, outtype: str, model_name: str) -> None:
    """Convert `checkpoint` with llama.cpp's own script; raises AssertionError with the end of its output."""
    command = convert_command(checkpoint, out, outtype, model_name)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, f"convert_hf_to_gguf.py failed:\n{done.stderr[-3000:]}"


def _need_tools() -> None:
    if is_built():
        return
    missing("llama.cpp's tools are not built: run `python tests/oracle/build_tools.py` (about 5 minutes, once)")


def missing(message: str) -> NoReturn:
    """Skip the test, or fail it where every oracle must be there."""
    if _REQUIRED:
        pytest.fail(message)
    pytest.skip(message)
