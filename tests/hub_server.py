"""A model hub on loopback: the HTTP that huggingface.co speaks, over a folder of repositories, with faults on request.

::

    with HubServer(root) as hub:            # root/OWNER/REPO/<files>
        hub.fault("cdn", "model.gguf", cut_after=1000, times=2)
        HubClient(HubSettings(endpoint=hub.url))
        hub.requests                        # what was asked, in order

As on the real hub, a file of Git LFS (by its suffix) is answered with a redirect to another host, here ``localhost``
with a port of its own instead of ``127.0.0.1``; other files of a public repository are answered with a relative
redirect below /api/resolve-cache. ``python tests/hub_server.py ROOT [BYTES_PER_S]`` serves until it is killed.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import parse_qs, quote, unquote, urlsplit

from hub_repositories import Commit, Entry, Repositories

PIECE_BYTES = 1 << 16
TOKEN = "hf_tokenOfTheTests"


@dataclass
class Fault:
    """What goes wrong. ``cut_after`` and ``stall_after`` count bytes of a body; ``corrupt_at`` is a file offset.

    ``length_delta`` is added to Content-Length; ``status`` answers with it and ``body`` instead of the content.
    """

    where: str  # "api", "resolve" or "cdn"
    path: str  # a part of the address that must occur in it
    times: int | None = 1  # None: always
    skip: int = 0  # requests that pass before it begins
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    stall_after: int | None = None
    stall_s: float = 60.0
    corrupt_at: int | None = None
    length_delta: int = 0
    content_range: str | None = None
    ignore_range: bool = False
    bytes_per_s: int | None = None
    redirect: str | None = None


@dataclass
class Request:
    """One request as it came, and what was answered."""

    where: str
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    status: int = 0
    sent_bytes: int = 0

    @property
    def range(self) -> tuple[int, int] | None:
        """The bytes asked for as ``(start, stop)``."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        return (int(match[1]), int(match[2]) + 1) if match else None


class HubServer:
    """A context manager. ``url`` is the endpoint; ``cdn_url`` the host that large files are redirected to.

    ``private`` repositories are visible, and ``gated`` ones downloadable, only with a token of ``tokens``; a token of
    ``strangers`` is valid and has access to neither. ``link_uses`` limits how often a redirect's target may be used.
    """

    def __init__(
        self,
        root: Path,
        *,
        private: tuple[str, ...] = (),
        gated: tuple[str, ...] = (),
        tokens: tuple[str, ...] = (TOKEN,),
        strangers: tuple[str, ...] = (),
        revisions: dict[str, dict[str, Path]] | None = None,
        moved: dict[str, str] | None = None,
        link_uses: int | None = None,
        bytes_per_s: int | None = None,
    ) -> None:
        self.repositories = Repositories(root, revisions or {})
        self.private, self.gated, self.tokens, self.strangers = private, gated, tokens, strangers
        self.moved = moved or {}
        self.link_uses = link_uses
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._pace = Pace(bytes_per_s, self.closing)
        self._faults: list[Fault] = []
        self._links: dict[str, tuple[Entry, list[int]]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._hub = _Listener(self, HubHandler)
        self._cdn = _Listener(self, CdnHandler)
        self.url = f"http://127.0.0.1:{self._hub.server_address[1]}"
        self.cdn_url = f"http://localhost:{self._cdn.server_address[1]}"

    def __enter__(self) -> HubServer:
        self._hub.start()
        self._cdn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._hub.stop()
        self._cdn.stop()

    def fault(self, where: str, path: str = "", **what: Any) -> Fault:
        """Let the next ``times`` requests to ``where`` with ``path`` in their address fail."""
        fault = Fault(where, path, **what)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        """From now on all is well."""
        with self._lock:
            self._faults.clear()

    def asked(self, where: str, path: str = "", method: str = "GET") -> list[Request]:
        """The requests of one kind so far."""
        return [r for r in list(self.requests) if r.where == where and path in r.path and r.method == method]

    def sent_bytes(self, path: str = "") -> int:
        """Body bytes handed to the kernel for contents of files; what a killed client never read counts too."""
        return sum(
            request.sent_bytes for request in list(self.requests) if path in request.path and request.status < 300
        )

    def take_fault(self, where: str, path: str) -> Fault | None:
        """The fault for this request, counted down."""
        with self._lock:
            for fault in self._faults:
                if fault.where == where and fault.path in path and (fault.times is None or fault.times > 0):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def make_link(self, entry: Entry) -> str:
        """A new signed address for ``entry``."""
        with self._lock:
            signature = f"s{next(self._numbers)}"
            self._links[signature] = (entry, [0])
        name = quote(entry.path.rsplit("/", 1)[-1])
        return f"{self.cdn_url}/repos/{entry.sha256}/{name}?Expires=1999999999&Signature={signature}"

    def use_link(self, signature: str) -> Entry | None:
        """The file behind a signature, None when that is used up or unknown."""
        with self._lock:
            entry, uses = self._links.get(signature, (None, [0]))
            uses[0] += 1
            return None if self.link_uses is not None and uses[0] > self.link_uses else entry

    def expire_links(self) -> None:
        """All addresses handed out so far stop working."""
        with self._lock:
            self._links.clear()

    @property
    def unlimited(self) -> bool:
        """True when nothing slows the sending down."""
        return self._pace.bytes_per_s is None

    def spend(self, size_bytes: int) -> None:
        """Wait as the limit over all connections demands."""
        self._pace.spend(size_bytes)


class Pace:
    """A limit of bytes per second over all threads that share it."""

    def __init__(self, bytes_per_s: int | None, closing: threading.Event) -> None:
        self.bytes_per_s = bytes_per_s
        self._closing = closing
        self._free_at = 0.0
        self._lock = threading.Lock()

    def spend(self, size_bytes: int) -> None:
        """Return when ``size_bytes`` more may be sent."""
        if self.bytes_per_s is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size_bytes / self.bytes_per_s
            wait_s = self._free_at - now
        self._closing.wait(wait_s)


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, hub: HubServer, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.hub = hub
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away is what the tests do
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    where = ""

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub: HubServer = self.server.hub  # type: ignore[attr-defined]
        headers = {name.lower(): value for name, value in self.headers.items()}
        where = self.where or ("resolve" if "/resolve" in self.path.partition("?")[0] else "api")
        self.record = Request(where, self.command, self.path, headers)
        self.hub.requests.append(self.record)
        self.planned = self.hub.take_fault(where, self.path)
        if self.planned and self.planned.redirect is not None:
            self.answer(302, b"", {"Location": self.planned.redirect})
        elif self.planned and self.planned.status is not None:
            self.answer(self.planned.status, self.planned.body or b'{"error":"planned"}', self.planned.headers)
        elif self.planned and self.planned.body is not None:
            self.answer(200, self.planned.body, self.planned.headers)
        else:
            self.serve(urlsplit(self.path))

    def serve(self, url: Any) -> None:
        raise NotImplementedError

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.record.status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json; charset=utf-8"}
        self.answer(status, json.dumps(value).encode(), {**kind, **(headers or {})})

    def refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        said = {"X-Error-Code": code, "X-Error-Message": message}
        self.answer_json(status, {"error": message}, {**said, **(headers or {})})

    def send_content(self, entry: Entry, headers: dict[str, str]) -> None:
        """The file, or the part of it that the Range header names, spoilt as planned."""
        fault = self.planned or Fault("", "")
        size = entry.size_bytes
        start, stop, status = 0, size, 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match and not fault.ignore_range:
            start, stop = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
            if start >= stop:
                self.answer(416, b"", {"Content-Range": f"bytes */{size}"})
                return
            status = 206
            headers = {**headers, "Content-Range": fault.content_range or f"bytes {start}-{stop - 1}/{size}"}
        length = {"Content-Length": str(stop - start + fault.length_delta), "Accept-Ranges": "bytes"}
        self.record.status = status
        self.send_response(status)
        for name, value in {**length, "Content-Type": "application/octet-stream", **headers, **fault.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.length_delta:
            self.close_connection = True
        with entry.file.open("rb") as file:
            if self.planned is None and self.hub.unlimited and start < stop:
                self.record.sent_bytes = self.connection.sendfile(file, start, stop - start)
            else:
                self._send_pieces(file, start, stop, fault)

    def _send_pieces(self, file: BinaryIO, start: int, stop: int, fault: Fault) -> None:
        pace = Pace(fault.bytes_per_s, self.hub.closing)
        file.seek(start)
        for position, piece in self._pieces(file, start, stop, fault):
            done = position - start
            if fault.stall_after is not None and done >= fault.stall_after:
                self.hub.closing.wait(fault.stall_s)
            if fault.cut_after is not None and done + len(piece) > fault.cut_after:
                self.wfile.write(piece[: max(0, fault.cut_after - done)])
                self.close_connection = True
                return
            pace.spend(len(piece))
            self.hub.spend(len(piece))
            self.wfile.write(piece)
            self.record.sent_bytes += len(piece)

    def _pieces(self, file: BinaryIO, start: int, stop: int, fault: Fault) -> Iterator[tuple[int, bytes]]:
        step = min(PIECE_BYTES, fault.bytes_per_s or PIECE_BYTES, fault.stall_after or PIECE_BYTES)
        for position in range(start, stop, step):
            piece = bytearray(file.read(min(step, stop - position)))
            if fault.corrupt_at is not None and position <= fault.corrupt_at < position + len(piece):
                piece[fault.corrupt_at - position] ^= 0xFF
            yield position, bytes(piece)


class HubHandler(_Handler):
    """The hub itself: descriptions, trees, and the addresses of files."""

    def serve(self, url: Any) -> None:
        path, query = unquote(url.path), parse_qs(url.query)
        if path == "/api/models":
            self.answer_json(200, self._search(query))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path):
            repo_id, kind, revision = match[1], match[2] or "revision", match[3] or "main"
            if repo_id in self.hub.moved:
                target = self.path.replace(repo_id, self.hub.moved[repo_id], 1)
                self.answer(307, b"", {"Location": target})
            elif commit := self._commit(repo_id, revision, content=False):
                self.answer_json(200, commit.tree() if kind == "tree" else self._info(commit, query))
        elif match := re.fullmatch(r"/api/resolve-cache/models/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)", path):
            self._send_file(match[1], match[2], match[3], direct=True)
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+|refs/pr/\d+)/(.+)", path):
            self._send_file(match[1], match[2], match[3], direct=False)
        else:
            self.answer_json(404, {"error": "Sorry, we can't find the page you are looking for."})

    def _send_file(self, repo_id: str, revision: str, path: str, *, direct: bool) -> None:
        commit = self._commit(repo_id, revision, content=True)
        if commit is None:
            return
        told = {"X-Repo-Commit": commit.sha}
        entry = commit.entry(path)
        if entry is None:
            self.refuse(404, "EntryNotFound", "Entry not found", told)
        elif entry.lfs:
            etag = f'"{entry.sha256}"'
            linked = {"X-Linked-ETag": etag, "X-Linked-Size": str(entry.size_bytes), "Accept-Ranges": "bytes"}
            self.answer(302, b"", {**told, **linked, "ETag": etag, "Location": self.hub.make_link(entry)})
        elif direct or repo_id in (*self.hub.private, *self.hub.gated):
            self.send_content(entry, {**told, "ETag": f'"{entry.git_sha1}"'})
        else:
            where = f"/api/resolve-cache/models/{repo_id}/{commit.sha}/{quote(path)}?{quote(self.path, safe='')}="
            self.answer(307, b"", {**told, "X-Linked-ETag": f'"{entry.git_sha1}"', "Location": where})

    def _commit(self, repo_id: str, revision: str, *, content: bool) -> Commit | None:
        """The commit, or None after a refusal was sent."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token is not None and token not in (*self.hub.tokens, *self.hub.strangers):
            self.answer_json(401, {"error": "Invalid credentials in Authorization header"})
            return None
        allowed = token in self.hub.tokens
        if not self.hub.repositories.has(repo_id) or (repo_id in self.hub.private and not allowed):
            self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
            return None
        if repo_id in self.hub.gated and content and not allowed:
            reason = "you are not in the authorized list." if token else "You must have access to it."
            message = f"Access to model {repo_id} is restricted. {reason}"
            self.refuse(403 if token else 401, "GatedRepo", message)
            return None
        commit = self.hub.repositories.commit(repo_id, revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _info(self, commit: Commit, query: dict[str, list[str]]) -> dict[str, Any]:
        gated = "manual" if commit.repo_id in self.hub.gated else False
        with_blobs = query.get("blobs", ["false"])[0].lower() in ("true", "1")
        return commit.info(gated=gated, private=commit.repo_id in self.hub.private, blobs=with_blobs)

    def _search(self, query: dict[str, list[str]]) -> list[dict[str, str]]:
        author = query.get("author", [""])[0]
        names = self.hub.repositories.names()
        return [{"id": name, "modelId": name} for name in names if not author or name.startswith(f"{author}/")]


class CdnHandler(_Handler):
    """The host that large files come from. Its ETag is a hash too, and not the file's."""

    where = "cdn"

    def serve(self, url: Any) -> None:
        entry = self.hub.use_link(parse_qs(url.query).get("Signature", [""])[0])
        if entry is None:
            self.answer(403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        else:
            self.send_content(entry, {"ETag": f'"{entry.sha256[::-1]}"'})


def main() -> None:
    rate = int(sys.argv[2]) if len(sys.argv) > 2 else None
    with HubServer(Path(sys.argv[1]), bytes_per_s=rate) as hub:
        print(hub.url, flush=True)
        hub.closing.wait()


if __name__ == "__main__":
    main()
