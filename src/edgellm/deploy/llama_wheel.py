"""The wheel of llama-cpp-python for one set of CMake options: built once, kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from edgellm.deploy.pip_process import Pip
from edgellm.errors import BackendError
from edgellm.files import fsync_directory, os_errors, require_free_space
from edgellm.progress import Progress

__all__ = ["DISTRIBUTION", "build_llama_wheel", "cached_llama_wheel", "keep_llama_wheel"]

DISTRIBUTION = "llama-cpp-python"
_BUILD_BYTES = 900 << 20


def cached_llama_wheel(cache: Path, version: str, cmake_args: str) -> Path | None:
    """The wheel that was built before with the same version and options, if any."""
    found = sorted(_folder(cache, version, cmake_args).glob("*.whl"))
    return found[0] if found else None


def build_llama_wheel(pip: Pip, version: str, cmake_args: str, cache: Path, scratch: Path, progress: Progress) -> Path:
    """The wheel, from the cache or from source. Raises BackendError when pip fails, NoSpaceError before it starts."""
    known = cached_llama_wheel(cache, version, cmake_args)
    if known is not None:
        progress.message(f"{DISTRIBUTION} {version} was built with these flags before: taken from {known.parent}")
        return known
    require_free_space(scratch, _BUILD_BYTES, f"compiling {DISTRIBUTION}")
    progress.message(f"compiling {DISTRIBUTION} {version}, some minutes: CMAKE_ARGS={cmake_args}")
    # Two steps: pip keeps the source archive in its cache, but a wheel of the same version that it has cached was
    # compiled with other flags.
    source, built = scratch / "source", scratch / "built"
    requirement = f"{DISTRIBUTION}=={version}"
    pip.run(["download", "--no-deps", "--no-binary", DISTRIBUTION, "--dest", source, requirement])
    archives = list(source.glob("*.tar.gz"))
    if len(archives) != 1:
        raise BackendError(f"pip brought no source archive of {requirement}", hint="look at pip's index settings")
    environ = {"CMAKE_ARGS": cmake_args, "FORCE_CMAKE": "1"}
    # Verbose: only then does pip show the compiler's steps.
    pip.run(["wheel", "-v", "--no-deps", "--no-cache-dir", "--wheel-dir", built, archives[0]], environ)
    wheels = list(built.glob("*.whl"))
    if len(wheels) != 1:
        raise BackendError(f"pip made no wheel of {requirement}", hint="look at its log")
    return keep_llama_wheel(wheels[0], cache, version, cmake_args)


def keep_llama_wheel(wheel: Path, cache: Path, version: str, cmake_args: str) -> Path:
    """Move a wheel that was built with these options into the cache; its folder appears whole."""
    folder = _folder(cache, version, cmake_args)
    with os_errors(f"write {folder}"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        partial.mkdir()
        try:
            shutil.move(wheel, partial / wheel.name)
            (partial / "CMAKE_ARGS").write_text(cmake_args + "\n", encoding="utf-8")
            fsync_directory(partial)
            if not folder.exists():
                partial.rename(folder)
                fsync_directory(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder / wheel.name


def _folder(cache: Path, version: str, cmake_args: str) -> Path:
    key = hashlib.sha256(cmake_args.encode()).hexdigest()[:16]
    return cache / "wheels" / f"{DISTRIBUTION}-{version}-{key}"
