"""tests/benchmarks/serve.py from its command line, on the model that travels with the repository and without peers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parent.parent / "benchmarks" / "serve.py"


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARK), *arguments, "--models", "tiny-llm", "--quick", "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_quick_run_measures_the_engine(tmp_path: Path) -> None:
    done = serve("streams", "shared", "rss", "--contenders", "in-process", "--work", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    numbers = {(row["scenario"], row["case"], row["what"]): row["values"] for row in run["measures"]}
    streams = numbers["streams", "8 streams", "tokens/s"]
    assert set(streams) == {"in-process", "serve_floor.py"}
    assert all(value > 0 for values in streams.values() for value in values)
    assert len(streams["in-process"]) == run["rounds"] == 1
    assert numbers["shared", "all at once", "total, s"]["in-process"][0] > 0
    assert numbers["rss", "8 x 256 tokens", "RSS, MB"]["in-process"][0] > 10
    assert run["targets"] == []  # every target compares with somebody

    part = tmp_path / "part.json"
    part.write_text(done.stdout, encoding="utf-8")
    twice = json.loads(serve("--json", "--from", str(part), str(part)).stdout)
    speeds = next(row["values"] for row in twice["measures"] if row["what"] == "tokens/s")
    assert speeds["in-process"] == streams["in-process"] * 2


def test_unknown_words_are_named() -> None:
    done = serve("streams", "--contenders", "vllm")
    assert done.returncode == 2
    assert "unknown: vllm; there are in-process, worker, llama-server" in done.stderr
