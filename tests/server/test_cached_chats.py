"""Conversations on the disk: only where the settings say so, and taken up after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli_process import Cli
from server_process import running_server

STORY = "Tell me of the lighthouse at the end of the pier, of its keeper, and of the ship that came back. " * 3
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": STORY}]


def cached_after_a_restart(home: Path, log: Path, **environment: str) -> int:
    """How many tokens of the prompt the second server need not compute."""
    body = {"model": "tiny-llm", "messages": MESSAGES, "max_tokens": 4, "temperature": 0}
    counts = []
    for _ in range(2):
        with running_server(home, log, environment=environment) as running, running.client() as client:
            usage = client.post("/v1/chat/completions", json=body).json()["usage"]
        counts.append(usage["prompt_tokens_details"]["cached_tokens"])
    assert counts[0] == 0
    return int(counts[1])


@pytest.mark.parametrize("isolation", ["worker", "process"])
def test_a_conversation_is_taken_up_after_a_restart(own_home: Path, tmp_path: Path, isolation: str) -> None:
    cached = cached_after_a_restart(own_home, tmp_path / "log", EDGELLM_CACHE_CHATS="true", EDGELLM_ISOLATION=isolation)
    assert cached > 30
    assert {row["kind"] for row in Cli(own_home).json("cache", "list")["prefixes"]} == {"chat"}


def test_nothing_is_kept_unless_the_setting_says_so(own_home: Path, tmp_path: Path) -> None:
    assert cached_after_a_restart(own_home, tmp_path / "log") == 0
    assert Cli(own_home).json("cache", "list")["prefixes"] == []
