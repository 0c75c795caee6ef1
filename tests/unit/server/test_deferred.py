"""What a server imports before it answers, and what it imports for the first request of a kind."""

from __future__ import annotations

import subprocess
import sys

from edgellm.server.dialects import DIALECTS
from edgellm.server.http.deferred import deferred, the_handler

LATER = (
    "edgellm.server.generation",
    "edgellm.server.jobs.runner",
    "edgellm.server.openapi",
    "edgellm.server.watching.statistics",
    "edgellm.store.writer",
    "edgellm_runtimes",
    "httpx",
    "jinja2",
    "llguidance",
    "numpy",
    "psutil",
)


def test_a_server_that_begins_has_imported_what_every_request_needs_and_no_more() -> None:
    program = "import sys, edgellm.cli.serving; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    there = set(out.split())
    assert "edgellm.server.app" in there
    assert not {name for name in LATER if name in there}
    handlers = {the_handler(route.endpoint).__module__ for dialect in DIALECTS for route in dialect.routes}
    assert not handlers & there


def test_the_same_handler_is_the_same_object_under_every_path() -> None:
    """Metrics name a route by its handler."""
    one = deferred("edgellm.server.dialects.llamacpp", "health", "health")
    assert one is deferred("edgellm.server.dialects.llamacpp", "health", "health")
    assert the_handler(one).__name__ == "health"


def test_what_is_not_deferred_is_its_own_handler() -> None:
    assert the_handler(print) is print
