"""The client against a hub on loopback that refuses, lies, redirects and fails."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from edgellm.errors import AccessError, EdgeLLMError, IntegrityError, Interrupted, NetworkError, NotFoundError
from edgellm.progress import CancelToken, SilentProgress
from edgellm.sources.hub import HubClient, HubRepository, HubSettings, Patience, parse_hub_reference
from hub_server import TOKEN, HubServer

FAST = Patience(first_wait_s=0.001, longest_wait_s=0.002, read_timeout_s=5.0)
WEIGHTS = os.urandom(300_000)
MODEL = parse_hub_reference("own/model")


class Lines(SilentProgress):
    """Progress that keeps its messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        """Keep it."""
        self.messages.append(text)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("model", "gated", "private"):
        folder = tmp_path / "root" / "own" / name
        folder.mkdir(parents=True)
        (folder / "model.gguf").write_bytes(WEIGHTS)
        (folder / "config.json").write_text('{"a": 1}')
        (folder / "empty.txt").write_bytes(b"")
        (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return tmp_path / "root"


@pytest.fixture
def hub(root: Path) -> Iterator[HubServer]:
    with HubServer(root, gated=("own/gated",), private=("own/private",), strangers=("hf_stranger",)) as server:
        yield server


def client(hub: HubServer, token: str | None = None, **options: object) -> HubClient:
    return HubClient(HubSettings(hub.url, token), **{"patience": FAST, **options})  # type: ignore[arg-type]


def described(hub: HubServer, token: str | None = None) -> HubRepository:
    with client(hub, token) as found:
        return found.repository(MODEL)


def test_a_repository_is_described_and_read(hub: HubServer, root: Path) -> None:
    with client(hub) as found:
        repository = found.repository(MODEL)
        assert repository.license == "mit"
        assert [file.path for file in repository.files] == ["README.md", "config.json", "empty.txt", "model.gguf"]
        read = {file.path: found.read_file(file, 1 << 20) for file in repository.files}
        assert read == {path: (root / "own" / "model" / path).read_bytes() for path in read}
        weights = repository.files[3]
        assert found.read_range(weights, 1000, 2000) == WEIGHTS[1000:2000]
        assert found.read_range(weights, 299_000, 400_000) == WEIGHTS[299_000:]
        with pytest.raises(IntegrityError, match=r"more than the 1000 B"):
            found.read_file(weights, 1000)


def test_the_token_goes_to_the_hub_and_nowhere_else(hub: HubServer) -> None:
    with client(hub, TOKEN) as found:
        found.read_range(found.repository(MODEL).files[3], 0, 1000)
    sent = {request.where: request.headers.get("authorization") for request in hub.requests}
    assert sent == {"api": f"Bearer {TOKEN}", "resolve": f"Bearer {TOKEN}", "cdn": None}
    assert all(request.headers["user-agent"].startswith("edgellm/") for request in hub.requests)


def test_the_token_does_not_follow_a_redirect_to_a_third_host(hub: HubServer, root: Path) -> None:
    with HubServer(root) as third, client(hub, TOKEN) as found:
        hub.fault("api", redirect=f"{third.url}/api/models/own/model?blobs=true")
        found.repository(MODEL)
        assert [request.headers.get("authorization") for request in third.requests] == [None]


def test_a_link_is_used_again_until_it_expires(root: Path) -> None:
    with HubServer(root, link_uses=3) as hub, client(hub) as found:
        weights = found.repository(MODEL).files[3]
        parts = [found.read_range(weights, at, at + 50_000) for at in range(0, 300_000, 50_000)]
        assert b"".join(parts) == WEIGHTS
        assert len(hub.asked("resolve", "model.gguf")) == 2
        assert [request.status for request in hub.asked("cdn")] == [206, 206, 206, 403, 206, 206, 206]


def test_a_revision_and_a_moved_repository_are_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / "config.json").write_text("{}")
    server = HubServer(root, revisions={"own/model": {"v2": tmp_path / "v2"}}, moved={"old/model": "own/model"})
    with server as hub, client(hub) as found:
        second = found.repository(parse_hub_reference("own/model@v2"))
        assert [file.path for file in second.files] == ["config.json"]
        assert found.repository(parse_hub_reference(f"own/model@{second.revision}")) == second
        moved = found.repository(parse_hub_reference("old/model"))
        assert (moved.repo_id, len(moved.files)) == ("own/model", 4)
        with pytest.raises(NotFoundError, match="no such revision"):
            found.repository(parse_hub_reference("own/model@v3"))


def test_a_missing_repository_is_told_with_near_names(hub: HubServer) -> None:
    for token in (None, TOKEN):
        with client(hub, token) as found:
            with pytest.raises(NotFoundError, match="no repository own/modle") as caught:
                found.repository(parse_hub_reference("own/modle"))
            assert caught.value.hint == "did you mean own/model?"
            with pytest.raises(NotFoundError) as caught:
                found.repository(parse_hub_reference("nobody/x"))
            assert "check the name" in (caught.value.hint or "")


def test_a_gated_repository_names_its_page_and_the_token(hub: HubServer) -> None:
    for token, words in ((None, "HF_TOKEN"), ("hf_stranger", "account of your token")):
        with client(hub, token) as found:
            repository = found.repository(parse_hub_reference("own/gated"))
            assert repository.gated
            with pytest.raises(AccessError, match="gated") as caught:
                found.read_range(repository.files[3], 0, 10)
            told = f"{caught.value} {caught.value.hint}"
            assert f"{hub.url}/own/gated" in told
            assert words in told
            assert "stranger" not in told
    with client(hub, TOKEN) as found:
        repository = found.repository(parse_hub_reference("own/gated"))
        assert found.read_range(repository.files[3], 0, 10) == WEIGHTS[:10]


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_without_a_reason_names_what_may_help(hub: HubServer, status: int, token: str | None) -> None:
    hub.fault("api", status=status, times=None)  # a mirror leaves out the hub's X-Error-Code
    with client(hub, token) as found, pytest.raises(AccessError) as caught:
        found.repository(MODEL)
    told = f"{caught.value} {caught.value.hint}"
    assert f"{hub.url}/{MODEL.repo_id}" in told or (status, token) == (401, TOKEN)
    assert "HF_TOKEN" in told
    assert token is None or token not in told


def test_a_private_repository_and_a_wrong_token_are_told_apart(hub: HubServer) -> None:
    with client(hub) as found, pytest.raises(NotFoundError, match="or it is private"):
        found.repository(parse_hub_reference("own/private"))
    with client(hub, "hf_wrongToken") as found, pytest.raises(AccessError, match="does not accept the token") as caught:
        found.repository(MODEL)
    assert "wrongToken" not in f"{caught.value} {caught.value.hint}"
    with client(hub, TOKEN) as found:
        assert found.repository(parse_hub_reference("own/private")).private


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 429])
def test_what_may_pass_is_tried_again(hub: HubServer, status: int) -> None:
    lines = Lines()
    hub.fault("api", status=status, times=3)
    with client(hub, progress=lines) as found:
        assert found.repository(MODEL).repo_id == "own/model"
    assert len(lines.messages) == 3
    assert all("retrying in" in line for line in lines.messages)


def test_a_wait_that_the_hub_asks_for_is_kept_or_told(hub: HubServer) -> None:
    lines = Lines()
    hub.fault("api", status=429, headers={"Retry-After": "0"})
    hub.fault("api", status=429, headers={"RateLimit": '"api";r=0;t=0'})
    with client(hub, progress=lines) as found:
        found.repository(MODEL)
        assert len(lines.messages) == 2
        date = {"Retry-After": formatdate(time.time() + 3630, usegmt=True)}  # the server sends a Date besides
        for headers in ({"Retry-After": "3600"}, {"RateLimit": '"api";r=0;t=3600'}, date):
            hub.fault("api", status=429, headers=headers)
            with pytest.raises(NetworkError, match="1:00 h"):
                found.repository(MODEL)


def test_a_hub_that_keeps_failing_is_given_up(hub: HubServer) -> None:
    hub.fault("api", status=503, times=None)
    with client(hub) as found, pytest.raises(NetworkError, match=r"503.*tried 8 times") as caught:
        found.repository(MODEL)
    assert caught.value.hint
    assert len(hub.requests) == 8


def test_a_wait_ends_when_the_user_stops(hub: HubServer) -> None:
    cancel = CancelToken()

    class Stopper(SilentProgress):
        """Stops at the first message."""

        def message(self, text: str) -> None:
            """Stop."""
            cancel.cancel()

    hub.fault("api", status=503, times=None)
    patience = Patience(first_wait_s=60)
    with client(hub, patience=patience, progress=Stopper(), cancel=cancel) as found, pytest.raises(Interrupted):
        found.repository(MODEL)
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_after": 1000},
        {"length_delta": -10},
        {"length_delta": 10},
        {"content_range": "bytes 5-6/7"},
        {"content_range": "nonsense"},
        {"headers": {"Content-Encoding": "gzip"}},
        {"status": 403},
        {"status": 500},
    ],
)
def test_a_fault_of_the_file_server_costs_one_more_request(hub: HubServer, fault: dict[str, object]) -> None:
    weights = described(hub).files[3]
    hub.fault("cdn", **fault)
    with client(hub) as found:
        assert found.read_file(weights, 1 << 20) == WEIGHTS
    assert len(hub.asked("cdn")) == 2


def test_a_server_without_ranges_is_read_from_the_beginning(hub: HubServer) -> None:
    hub.fault("cdn", ignore_range=True, times=None)
    weights = described(hub).files[3]
    with client(hub) as found:
        assert found.read_range(weights, 100_000, 200_000) == WEIGHTS[100_000:200_000]


def test_wrong_bytes_are_told_with_both_hashes(hub: HubServer) -> None:
    weights = described(hub).files[3]
    hub.fault("cdn", corrupt_at=7)
    with client(hub) as found, pytest.raises(IntegrityError, match=r"model\.gguf.*sha256") as caught:
        found.read_file(weights, 1 << 20)
    assert weights.key in str(caught.value)
    config = described(hub).files[1]
    hub.fault("resolve", "resolve-cache", corrupt_at=0)
    with client(hub) as found, pytest.raises(IntegrityError, match="git sha1"):
        found.read_file(config, 100)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"redirect": "/api/models/own/model?blobs=true", "times": None}, "in a circle"),
        ({"redirect": "file:///etc/passwd"}, "not a web address"),
        ({"redirect": "http://user:pass@127.0.0.1/"}, "not a web address"),
        ({"redirect": "http://[::1", "times": None}, "tried 4 times"),
        ({"redirect": ""}, "to nowhere"),
        ({"body": b"<html>log in</html>"}, "not the description"),
        ({"body": b"{" + b" " * (17 << 20)}, "larger than"),
        ({"status": 418, "body": b'{"error": "tea\x1b[31m"}'}, "418"),
    ],
)
def test_nonsense_from_a_hub_is_an_error_of_ours(hub: HubServer, fault: dict[str, object], words: str) -> None:
    hub.fault("api", **fault)
    with client(hub) as found, pytest.raises(EdgeLLMError, match=words) as caught:
        found.repository(MODEL)
    assert caught.value.hint
    assert str(caught.value).isprintable()


def test_https_is_not_given_up_by_a_redirect() -> None:
    import httpx

    from edgellm.sources.hub.transport import _next_url

    start = httpx.URL("https://hub.example/a")
    assert _next_url(start, "/b") == "https://hub.example/b"
    with pytest.raises(NetworkError, match="from https to http"):
        _next_url(start, "http://hub.example/b")


def test_a_hub_that_is_not_there_is_told_after_a_few_attempts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        refused = pytest.raises(NetworkError, match=r"cannot connect to 127\.0\.0\.1.*tried 4 times")
        with HubClient(HubSettings(endpoint), patience=FAST) as found, refused:
            found.repository(MODEL)


def test_offline_opens_no_socket(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = described(hub).files[3]
    asked = len(hub.requests)

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    with HubClient(HubSettings(hub.url, TOKEN, offline=True)) as found:
        for ask in (
            lambda: found.repository(MODEL),
            lambda: found.read_file(weights, 1 << 20),
            lambda: found.read_range(weights, 0, 1),
        ):
            with pytest.raises(NetworkError, match="EDGELLM_OFFLINE") as caught:
                ask()
            assert caught.value.hint
    assert len(hub.requests) == asked


def test_a_proxy_that_cannot_be_used_is_told(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks9://nowhere:1")
    with client(hub) as found, pytest.raises(EdgeLLMError, match="proxy"):
        found.repository(MODEL)
