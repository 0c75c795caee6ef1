"""The chat pages of docs/examples, over a running server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server_process import RunningServer, free_port

pytestmark = pytest.mark.oracle

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
START_S = 120.0


@pytest.fixture
def gradio_page(server: RunningServer, tmp_path: Path) -> Iterator[str]:
    """The address of the page, in a process of its own."""
    port = free_port()
    environ = {
        **os.environ,
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }
    log = tmp_path / "log"
    command = [sys.executable, str(EXAMPLES / "gradio_chat.py")]
    with log.open("wb") as sink, subprocess.Popen(command, env=environ, stdout=sink, stderr=sink) as process:
        try:
            until = time.monotonic() + START_S
            while not _answers(port):
                assert process.poll() is None, log.read_text(errors="replace")
                assert time.monotonic() < until, log.read_text(errors="replace")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/config", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.mark.filterwarnings("ignore")
def test_the_gradio_page_answers(gradio_page: str) -> None:
    from gradio_client import Client

    client = Client(gradio_page, verbose=False, analytics_enabled=False)
    job = client.submit("Hello", api_name="/answer")
    text = job.result(timeout=60)
    assert text
    assert len(job.outputs()) > 1  # it was streamed


@pytest.mark.filterwarnings("ignore")
def test_the_streamlit_page_answers_twice(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    page: Any = AppTest.from_file(str(EXAMPLES / "streamlit_chat.py"), default_timeout=60).run()
    for count in (2, 4):
        page.chat_input[0].set_value("Hello").run()
        assert not page.exception
        assert [message.name for message in page.chat_message] == ["user", "assistant"] * (count // 2)
        assert page.chat_message[-1].markdown[0].value


@pytest.mark.parametrize("name", ["gradio_chat.py", "streamlit_chat.py"])
def test_the_pages_are_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 30
