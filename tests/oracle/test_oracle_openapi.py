"""Schemathesis over the OpenAPI document: thousands of requests, right and wrong ones, to every route.

No answer may break the document's schemas or be a 500 or a 502; what it says of 501, 503 and 507 it must keep.
EDGELLM_FUZZ_EXAMPLES is how many requests a route gets besides those of the schema's borders; EDGELLM_FUZZ_REPORT a
file that gets the report.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli_process import Cli
from server_process import running_server

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

_EXAMPLES = os.environ.get("EDGELLM_FUZZ_EXAMPLES", "30")
_REPORT = os.environ.get("EDGELLM_FUZZ_REPORT")
_LEAST_CASES = 5_000
_CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501", "503", "507"]
# What a schema allows may be no model of this store, no role of that template, or too long.
positive_data_acceptance.enabled = false
"""
_ENDLESS = "stream$|/events$|/changes$"  # they send for as long as somebody listens


def test_no_request_breaks_the_document(tiny_llm: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"  # what the requests delete and make is nobody else's
    Cli(home).run("pack", tiny_llm, "--device", "raspberrypi", "--quant", "Q4_K_M")
    config = tmp_path / "schemathesis.toml"
    config.write_text(_CONFIG)
    with running_server(home, tmp_path / "log", environment={"EDGELLM_OFFLINE": "1"}) as server:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{server.url}/openapi.json", "--max-examples", _EXAMPLES, "--seed", "1"),
            *("--phases", "examples,coverage,fuzzing", "--exclude-path-regex", _ENDLESS),
            *("--request-timeout", "60", "--continue-on-failure", "--no-shrink"),
        ]
        environment = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
        }
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        with server.client() as client:
            assert client.get("/health").json()["status"] == "ok"
    if _REPORT:
        Path(_REPORT).write_text(done.stdout)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    cases = re.search(r"(\d[\d,]*) generated", done.stdout)
    assert cases is not None
    assert int(cases[1].replace(",", "")) >= _LEAST_CASES
