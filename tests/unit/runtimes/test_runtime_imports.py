"""Importing the runtime costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "llama_cpp", "jinja2", "psutil", "edgellm_runtimes._native")


@pytest.mark.parametrize(
    "module",
    [
        "edgellm_runtimes",
        "edgellm_runtimes.engine",
        "edgellm_runtimes.load",
        "edgellm_runtimes.smoke",
        "edgellm_runtimes.kv_store",
        "edgellm_runtimes.system_prompt",
        "edgellm_runtimes.chat",
        "edgellm_runtimes.backend",
        "edgellm_runtimes.sampling",
        "edgellm_runtimes.worker.core",
        "edgellm_runtimes.worker.serve",
    ],
)
def test_a_module_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_library_is_loaded_without_the_high_level_package() -> None:
    code = (
        "import sys; from edgellm_runtimes.llama_cpp.library import library; library(); "
        "print('llama_cpp' in sys.modules, 'llama_cpp.llama' in sys.modules, 'jinja2' in sys.modules); "
        "import llama_cpp; print(llama_cpp.Llama.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False", "Llama"]
