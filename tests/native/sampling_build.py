"""Builds the programs that call the sampling kernels, from the sources and flags that CMakeLists.txt gives."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from native_build import HERE, REPOSITORY, RUNTIMES, compile_all, run

__all__ = ["SAMPLING", "Builds", "module_sources"]

SAMPLING = RUNTIMES / "sampling"
_DRIVER = [HERE / "sampling_driver.cpp", HERE / "counted_new.cpp"]
_FUZZ = [HERE / "sampling_fuzz.cpp"]


def _commands(name: str, first: str) -> list[list[str]]:
    """Words of all calls of a CMake command in CMakeLists.txt that begin with `first`, variables filled in."""
    text = re.sub(r"(?m)^\s*#.*", "", (REPOSITORY / "CMakeLists.txt").read_text())
    variables = dict(re.findall(r"(?m)^\s*set\((\w+) ([^)]*)\)", text))
    calls = re.findall(rf"(?m)^\s*{name}\(([^)]*)\)", text)
    words = [re.sub(r"\$\{(\w+)\}", lambda found: variables.get(found[1], ""), call) for call in calls]
    split = [call.replace('"', " ").replace(";", " ").split() for call in words]
    return [call for call in split if call[0].startswith(first)]


@cache
def module_sources(compiler: str) -> tuple[tuple[Path, tuple[str, ...]], ...]:
    """(source, flags) of the module _sampling for the compiler's target, without the Python binding."""
    (always,), (x86_only,) = _commands("nanobind_add_module", "_sampling"), _commands("target_sources", "_sampling")
    (common,), (define,) = (_commands(f"target_compile_{kind}", "_sampling") for kind in ("options", "definitions"))
    own = {
        call[0]: call[3:] for call in _commands("set_source_files_properties", str(SAMPLING.relative_to(REPOSITORY)))
    }
    is_x86 = "__x86_64__" in run([compiler, "-dM", "-E", "-x", "c++", "/dev/null"])
    flags = common[2:] + ([f"-D{define[2]}"] if is_x86 else [])
    names = always[2:] + (x86_only[2:] if is_x86 else [])
    assert {REPOSITORY / name for name in always[2:] + x86_only[2:]} == set(SAMPLING.glob("*.cpp"))
    assert own.keys() == set(x86_only[2:])
    return tuple(
        (REPOSITORY / name, (*flags, *own.get(name, ()))) for name in names if not name.endswith("/module.cpp")
    )


class Builds:
    """Programs and objects in a folder that all test processes share: each is built once.

    `flags` come after the module's own and set a build apart. The drivers themselves are built without the address
    sanitizer: it would take longer than all else, and sees what the kernels do to the drivers' memory all the same.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def driver(self, compiler: str, flags: Sequence[str] = ()) -> Path:
        """The program of sampling_driver.cpp."""
        return self._program("driver", compiler, flags, _DRIVER)

    def fuzzer(self, compiler: str, flags: Sequence[str], last: str) -> Path:
        """The program of sampling_fuzz.cpp; `last` is what it alone is compiled and linked with."""
        return self._program("fuzzer", compiler, flags, _FUZZ, [last])

    def _program(
        self, name: str, compiler: str, flags: Sequence[str], sources: Sequence[Path], last: Sequence[str] = ()
    ) -> Path:
        folder = self._folder / re.sub(r"\W+", "-", " ".join([Path(compiler).name, *flags]))
        folder.mkdir(parents=True, exist_ok=True)
        program, objects = folder / name, folder / "objects"
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not objects.exists():
                unfinished = folder / "unfinished"
                unfinished.mkdir(exist_ok=True)
                compile_all(
                    compiler, unfinished, [(path, [*given, *flags]) for path, given in module_sources(compiler)]
                )
                unfinished.rename(objects)
            if not program.exists():
                own = ["-O1", *(flag for flag in flags if not flag.startswith("-fsanitize=address")), *last]
                main = compile_all(compiler, folder, [(path, own) for path in sources])
                run([compiler, *sorted(objects.glob("*.o")), *main, *flags, *last, "-pthread", "-o", program])
        return program
