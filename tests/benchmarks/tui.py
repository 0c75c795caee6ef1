"""What the terminal program costs: start, streaming, rest, memory, many models, and its longest step.

usage: python tests/benchmarks/tui.py [SCENARIO ...] [--work FOLDER] [--repeats N] [--tokens N] [--messages N]
                                      [--seconds N] [--json]

Scenarios: start, idle, stream, memory, models. All of them without any; each takes less than two minutes. Each runs the
program as its users start it, in a pseudo-terminal that takes what is painted at once; its server is a real one for
`start` and `idle`, and elsewhere one that says always the same. What is done is said on stderr. What is limited, and
what of it was reached, is printed last. A step is what runs in the event loop without a pause, in processor time: no
frame can take longer than the longest step. Exit status 1 where a scenario could not be run, which costs the others
nothing. Linux.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tui_scenarios import SCENARIOS

LIMITS = {
    "start_s": 0.8,
    "cpu_per_token_ms": 1.5,
    "idle_percent": 1.0,
    "rss_empty_mb": 70.0,
    "rss_scrolled_mb": 110.0,
    "longest_step_ms": 50.0,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", choices=[[], *SCENARIOS], metavar="SCENARIO")
    parser.add_argument("--work", type=Path, help="folder for homes and logs; a temporary one by default")
    parser.add_argument("--repeats", type=int, default=7, help="starts")
    parser.add_argument("--tokens", type=int, default=600, help="of a streamed answer")
    parser.add_argument("--messages", type=int, default=10_000, help="of the long conversation")
    parser.add_argument("--seconds", type=float, default=10.0, help="of rest in each mode")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tui-") as folder:
        found, problems = run(options, options.work or Path(folder))
    reached = list(targets(found))
    if options.json:
        print(json.dumps({**found, "limits": LIMITS, "reached": reached, "problems": problems}, indent=2))
    else:
        print("limits")
        for name, value, limit, holds in reached:
            print(f"  {name:<28} {value:.2f} of {limit:g}: {value / limit:.2f}{'' if holds else ' MISSED'}")
    return 1 if problems else 0


def run(options: argparse.Namespace, work: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The numbers of each scenario, and why those that are missing are."""
    work.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    problems: dict[str, str] = {}
    for name in options.scenarios or SCENARIOS:
        begun = time.monotonic()

        def say(text: str, name: str = name, begun: float = begun) -> None:
            print(f"{name} {time.monotonic() - begun:5.1f} s  {text}", file=sys.stderr, flush=True)

        try:
            found[name] = SCENARIOS[name](options, work, say)
        except (RuntimeError, OSError) as error:
            problems[name] = str(error)
            say(f"FAILED: {error}")
            continue
        say("done")
        if not options.json:
            _print(name, found[name])
    return found, problems


def targets(found: dict[str, dict[str, Any]]) -> list[tuple[str, float, float, bool]]:
    """Everything that is limited: name, value, limit, whether it holds."""
    rows = []
    for values in found.values():
        for name, value in values.items():
            limit = next((limit for key, limit in LIMITS.items() if name == key or name.startswith(f"{key}_")), None)
            if limit is not None and not isinstance(value, str):
                rows.append((name, value, limit, value <= limit))
    return rows


def _print(scenario: str, values: dict[str, Any]) -> None:
    print(scenario)
    for name, value in values.items():
        print(f"  {name:<28} {value:.3f}" if isinstance(value, float) else f"  {name:<28} {value}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
