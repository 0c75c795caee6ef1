"""The smallest of our own routes."""

from __future__ import annotations

from edgellm.version import __version__
from server_process import RunningServer


def test_the_version_is_that_of_the_package(server: RunningServer) -> None:
    with server.client() as client:
        assert client.get("/api/edgellm/version").json() == {"version": __version__}


def test_an_unknown_path_is_a_404_in_json(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.get("/api/edgellm/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "there is no /api/edgellm/nothing"
