"""tests/benchmarks/tui.py from its command line: every scenario gives its numbers, however short it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parent.parent / "benchmarks" / "tui.py"
SHORT = ("--repeats", "1", "--tokens", "30", "--messages", "60", "--seconds", "0.5")
NUMBERS = {
    "start": {"start_s", "start_cpu_s", "interpreter_s", "command_line_s", "textual_s", "app_s"},
    "idle": {"idle_percent", "rss_empty_mb", "models_percent", "settings_percent"},
    "stream": {"cpu_per_token_with_rest_ms", "stream_bytes_per_token", "longest_step_ms_stream"},
    "memory": {"rss_scrolled_mb", "cpu_per_page_ms", "longest_step_ms_scroll"},
    "models": {"models", "shown_s", "longest_step_ms_fill", "longest_step_ms_walk", "longest_step_ms_filter"},
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("scenario", NUMBERS)
def test_a_scenario_gives_its_numbers(scenario: str, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), scenario, *SHORT, "--work", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["problems"] == {}
    assert NUMBERS[scenario] <= run[scenario].keys()
    assert all(run[scenario][name] > 0 for name in NUMBERS[scenario])
    assert run["reached"], "nothing of it is limited"
    assert f"{scenario} " in done.stderr  # what it does, meanwhile
