"""Commands that talk to programs: EDGELLM_PROGRESS=json."""

from __future__ import annotations

import json
from pathlib import Path

from cli_process import Cli

EVENTS = {"EDGELLM_PROGRESS": "json"}


def test_progress_and_messages_are_events(packed_home: Path) -> None:
    done = Cli(packed_home).run("verify", "--json", environment=EVENTS)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert events[0]["event"] == "phase"
    assert events[0]["name"] == "verify"
    assert events[-1] == {"event": "progress", "done_bytes": events[0]["total_bytes"]}
    assert json.loads(done.stdout)["bundles"] == 1


def test_an_error_is_an_event_with_its_class(tmp_path: Path) -> None:
    done = Cli(tmp_path).run("verify", "nothing", status=3, environment=EVENTS)
    [event] = [json.loads(line) for line in done.stderr.splitlines() if '"error"' in line]
    assert event["type"] == "NotFoundError"
    assert "nothing" in event["message"]
    assert event["hint"]


def test_what_click_refuses_is_an_event_too(tmp_path: Path) -> None:
    done = Cli(tmp_path).run("verify", "--nonsense", status=2, environment=EVENTS)
    [event] = [json.loads(line) for line in done.stderr.splitlines()]
    assert (event["event"], event["type"]) == ("error", "UsageError")
