"""No path of a request reaches the file system: whatever field of whatever route names it."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from audited_serve import PROBE

from edgellm.server.dialects import DIALECTS
from server_process import free_port

SCRIPT = Path(__file__).with_name("audited_serve.py")
ROUTES = sorted(
    {
        (method, route.path)
        for dialect in DIALECTS
        for route in dialect.routes
        for method in route.methods or ()
        if method != "HEAD" and not route.path.endswith(("/stream", "/changes")) and route.path != "/api/edgellm/stop"
    }
)


def _probe(folder: Path) -> Path:
    """A file that is there: what is not there is asked for without being opened, which no hook sees."""
    file = folder / f"{PROBE}.toml"
    file.write_text("id = 'x'\n")
    return file


def _body(path: str) -> dict[str, Any]:
    """Every field of every dialect that could be taken for a path."""
    image = base64.b64encode(b"x").decode()
    part = {"type": "image_url", "image_url": {"url": path}}
    names = "model name from source destination to device prompt system template suffix content order file path folder "
    names += "store tag id text document checkpoint license quantize recipe language session_id"
    return {
        **dict.fromkeys(names.split(), path),
        "messages": [{"role": "user", "content": [{"type": "text", "text": path}, part], "images": [image]}],
        "input": [path],
        "files": {path: path},
        "adapters": {path: path},
        "lora": [{"id": 0, "scale": 1.0, "path": path}],
        "tools": [],
        "max_tokens": 1,
        "n_predict": 1,
        "stream": False,
    }


@contextlib.contextmanager
def _audited(home: Path, record: Path, log: Path) -> Iterator[httpx.Client]:
    port = free_port()
    command = [sys.executable, str(SCRIPT), str(record), "serve", "--port", str(port), "--no-socket"]
    environment = {**os.environ, "EDGELLM_HOME": str(home), "EDGELLM_OFFLINE": "1"}
    with log.open("wb") as sink, subprocess.Popen(command, env=environment, stdout=sink, stderr=sink) as process:
        try:
            transport = httpx.HTTPTransport(retries=0)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=60) as client:
                while True:
                    assert process.poll() is None, log.read_text()
                    with contextlib.suppress(httpx.TransportError):
                        client.get("/health")
                        break
                yield client
        finally:
            process.terminate()
            process.wait(30)


def test_every_route_leaves_the_file_system_alone(tmp_path: Path) -> None:
    record, file = tmp_path / "record", _probe(tmp_path)
    paths = [str(file), os.path.relpath(file), file.as_uri(), f"{file}\0.gguf"]
    with _audited(tmp_path / "home", record, tmp_path / "log") as client:
        for method, route in ROUTES:
            for path in paths:
                url = "/".join(quote(path, safe="") if "{" in part else part for part in route.split("/"))
                answer = client.request(method, url, json=_body(path))
                assert answer.status_code != 500, (method, route, path, answer.text)
    assert record.read_text() == ""


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/page/../../../pyproject.toml", "/page/%2e%2e/x", "//etc/passwd"]
)
def test_no_path_of_a_url_is_a_file(tmp_path: Path, path: str) -> None:
    with _audited(tmp_path / "home", tmp_path / "record", tmp_path / "log") as client:
        assert client.get(path).status_code == 404


def test_the_record_would_show_a_path(tmp_path: Path) -> None:
    """The command line does take paths."""
    command = [sys.executable, str(SCRIPT), str(tmp_path / "record"), "fit", "--device", str(_probe(tmp_path)), "x"]
    subprocess.run(command, env={**os.environ, "EDGELLM_HOME": str(tmp_path)}, timeout=60, capture_output=True)
    assert PROBE in (tmp_path / "record").read_text()
