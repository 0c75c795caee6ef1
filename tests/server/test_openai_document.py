"""The commands of docs/reference/http/openai.md, run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server_process import RunningServer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "http" / "openai.md"
COMMANDS = re.findall(r"^```sh\n(curl .*?)\n```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_the_commands_work(server: RunningServer, number: int) -> None:
    command = COMMANDS[number].replace("http://localhost:11434", server.url).replace("curl ", "curl -sS --fail ", 1)
    if "response_format" in command or "tool_choice" in command:
        pytest.importorskip("llguidance")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_every_route_has_a_heading_and_a_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for path in ("chat/completions", "completions", "embeddings", "responses", "models", "models/tiny-llm"):
        assert any(f"/v1/{path}" in command for command in COMMANDS), path
    assert len(re.findall(r"^## (?:POST|GET) /v1/", text, re.MULTILINE)) == 6
