"""Makes one small model and times it: `python -m edgellm_runtimes.calibrate.timing_child`."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from edgellm.errors import DoesNotFitError, EdgeLLMError
from edgellm_runtimes.calibrate.synthetic import Shape, model_file
from edgellm_runtimes.calibrate.timing import time_model
from edgellm_runtimes.child import answer_error, begin_child


def main(arguments: list[str] | None = None) -> int:
    """One JSON line on stdout. Returns the exit status."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m edgellm_runtimes.calibrate.timing_child", description=__doc__)
    parser.add_argument("--type", required=True)
    for name in ("n-embd", "n-ff", "n-layers", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--repack", action="store_true")
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--budget", type=float, required=True, help="seconds for each kind of step")
    parser.add_argument("--parent-fd", type=int, help="a pipe: this process ends when its other end closes")
    options = parser.parse_args(arguments)
    begin_child(options.parent_fd)
    _give_way()
    shape = Shape(options.n_embd, options.n_ff, options.n_layers)
    try:
        from edgellm_runtimes.llama_cpp.library import library

        with model_file(library()._lib, shape, options.type) as path:
            found = time_model(path, options.threads, repack=options.repack, budget_s=options.budget, deep=options.deep)
    except MemoryError:
        return answer_error(DoesNotFitError(f"memory ran out for a small model in {options.type}"))
    except EdgeLLMError as error:
        return answer_error(error)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


def _give_way() -> None:
    """When memory runs out, Linux ends this process rather than one that somebody needs."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
