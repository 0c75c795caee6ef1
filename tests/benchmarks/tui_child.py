"""A child of tui.py: ``edgellm`` as its users start it, with moments and the longest step of its loop written down.

usage: tui_child.py MARKS.json ARGUMENTS ...

At SIGUSR1 it writes ``{"python", "command", "app", "painted", "longest_step_ms", "steps"}`` to MARKS.json and counts
steps anew. The moments are seconds since the epoch; steps are in processor time of the main thread, so that what other
programs of the machine do does not count.
"""

from __future__ import annotations

import time

PYTHON = time.time()

import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

moments: dict[str, float] = {"python": PYTHON}
longest: list[Any] = [0.0, 0, ""]  # seconds, number of steps, what it was


def main() -> None:
    marks = Path(sys.argv.pop(1))

    def write(*_: object) -> None:
        told = {**moments, "longest_step_ms": 1000 * longest[0], "steps": longest[1], "longest_step": longest[2]}
        part = marks.with_suffix(".part")
        part.write_text(json.dumps(told))
        part.replace(marks)
        longest[:] = [0.0, 0, ""]

    signal.signal(signal.SIGUSR1, write)
    _hook_session()
    from edgellm.cli.entry import main as edgellm

    moments["command"] = time.time()
    sys.argv[0] = "edgellm"
    edgellm()


def _hook_session() -> None:
    """When the app is imported, note it, and look at its first frame and its steps."""
    import importlib.abc
    import importlib.machinery

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
            if name == "edgellm.tui.app":
                sys.meta_path.remove(self)
                spec = importlib.machinery.PathFinder.find_spec(name, path)
                assert spec is not None
                assert spec.loader is not None
                execute = spec.loader.exec_module

                def executed(module: Any) -> None:
                    execute(module)
                    moments["app"] = time.time()
                    _watch_steps()
                    _watch_paint()

                spec.loader.exec_module = executed  # type: ignore[method-assign]
                return spec
            return None

    sys.meta_path.insert(0, Finder())


def _watch_steps() -> None:
    import asyncio

    run = asyncio.Handle._run  # type: ignore[attr-defined]
    clock = time.thread_time

    def timed(self: Any) -> None:
        begun = clock()
        run(self)
        took = clock() - begun
        longest[1] += 1
        if took > longest[0]:
            longest[0], longest[2] = took, _name(self)

    asyncio.Handle._run = timed  # type: ignore[attr-defined]


def _name(handle: Any) -> str:
    task = getattr(handle._callback, "__self__", None)
    name = task.get_name() if hasattr(task, "get_name") else ""
    return f"{name or handle._callback}"[:120]


def _watch_paint() -> None:
    from textual.drivers.linux_driver import LinuxDriver

    write = LinuxDriver.write

    def written(self: Any, data: str) -> None:
        if "painted" not in moments and "Models" in data:
            moments["painted"] = time.time()
            moments["painted_cpu_s"] = sum(os.times()[:2])
        write(self, data)

    LinuxDriver.write = written  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
