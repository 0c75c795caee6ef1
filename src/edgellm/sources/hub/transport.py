"""HTTP with what a hub needs: redirects followed by hand, the token kept to its origin, nothing opened when offline."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from edgellm.errors import NetworkError, UsageError
from edgellm.files import os_errors
from edgellm.sources.hub.failures import TransientError, refusal
from edgellm.sources.hub.retry import Patience
from edgellm.sources.hub.settings import HubSettings
from edgellm.version import __version__

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "Transport"]

_MOST_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_ERROR_BODY_BYTES = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Answer:
    """An answer whose body has not been read. Close it; ``abort`` may be called from another thread."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.url = str(response.url)

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. Raises TransientError when the connection is cut, or silent for too long."""
        with _http_errors(self._response.url.host, reached=True):
            yield from self._response.iter_raw()

    def read(self, limit_bytes: int) -> bytes | None:
        """The whole body, None when it is longer than ``limit_bytes``."""
        parts, size = [], 0
        for chunk in self.chunks():
            size += len(chunk)
            if size > limit_bytes:
                return None
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        """Let the connection go; it is used again when the body was read to its end."""
        with contextlib.suppress(Exception):
            self._response.close()

    def abort(self) -> None:
        """End a read that another thread is waiting in: its next byte is an error."""
        stream = self._response.extensions.get("network_stream")
        raw = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(raw, socket.socket):
            with contextlib.suppress(
                OSError
            ):  # the base method: that of a TLS socket would drop its state under the reader
                socket.socket.shutdown(raw, socket.SHUT_RDWR)


class Transport:
    """One pool of connections to a hub and to the servers that it sends us to. Threads may share it.

    Proxies and certificates come from the environment, as httpx reads it (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE).
    """

    def __init__(self, settings: HubSettings, patience: Patience) -> None:
        self._settings = settings
        self._patience = patience
        self._client: httpx.Client | None = None
        self._reached = False

    def connect(self) -> None:
        """Make the pool, without a connection yet. Raises NetworkError when offline, UsageError for a bad proxy."""
        if self._settings.offline:
            raise NetworkError(
                "no connection is opened, because EDGELLM_OFFLINE or HF_HUB_OFFLINE is set",
                hint="unset it to download, or give a folder, a GGUF file or a bundle that is already here",
            )
        if self._client is None:
            self._client = self._make_client()

    def open(self, url: str, headers: Mapping[str, str] | None = None, *, repo_id: str = "") -> Answer:
        """GET ``url`` and follow its redirects. The answer's status is 200 to 299.

        Raises TransientError for what may pass, and AccessError, NotFoundError or NetworkError for what will not.
        """
        self.connect()
        assert self._client is not None
        for _ in range(_MOST_REDIRECTS + 1):
            target = _parse_url(url)
            sent = {"Accept-Encoding": "identity", **(headers or {})}
            if self._settings.token and self._is_hub(target):
                sent["Authorization"] = f"Bearer {self._settings.token}"
            with _http_errors(target.host, reached=self._reached):
                response = self._client.send(self._client.build_request("GET", target, headers=sent), stream=True)
            self._reached = True
            answer = Answer(response)
            if answer.status not in _REDIRECTS:
                return self._accepted(answer, target, repo_id)
            answer.close()
            url = _next_url(target, answer.headers.get("location", ""))
        raise NetworkError(f"{_host(self._settings)} redirects in a circle", hint="check HF_ENDPOINT and the proxy")

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _accepted(self, answer: Answer, url: httpx.URL, repo_id: str) -> Answer:
        if 200 <= answer.status < 300:
            return answer
        if 400 <= answer.status < 500 and answer.status not in (408, 429) and not self._is_hub(url):
            answer.close()
            raise TransientError(f"{url.host} does not take the hub's link ({answer.status})", link_refused=True)
        try:
            body = answer.read(_ERROR_BODY_BYTES) or b""
        except TransientError:
            body = b""
        finally:
            answer.close()
        raise refusal(
            answer.status,
            answer.headers,
            body,
            host=url.netloc.decode("ascii", "replace"),
            repo_id=repo_id or "it",
            page=f"{self._settings.endpoint}/{repo_id}",
            has_token=bool(self._settings.token),
        )

    def _is_hub(self, url: httpx.URL) -> bool:
        return _origin(url) == _origin(_parse_url(self._settings.endpoint))

    def _make_client(self) -> httpx.Client:
        import httpx

        patience = self._patience
        timeout = httpx.Timeout(patience.read_timeout_s, connect=patience.connect_timeout_s, pool=None)
        agent = {"User-Agent": f"edgellm/{__version__}"}
        with os_errors("read the certificates (SSL_CERT_FILE)"):
            try:
                return httpx.Client(timeout=timeout, headers=agent, follow_redirects=False)
            except ssl.SSLError as error:
                raise UsageError("SSL_CERT_FILE or SSL_CERT_DIR holds no certificates that can be read") from error
            except (ImportError, ValueError, httpx.InvalidURL) as error:
                raise UsageError(
                    "the proxy of this environment cannot be used (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY)",
                    hint="write it like http://host:port; a SOCKS proxy needs the package socksio",
                ) from error


@contextlib.contextmanager
def _http_errors(host: str, *, reached: bool) -> Iterator[None]:
    """Turn httpx's exceptions into ours; certificates are not going to get better by waiting."""
    import httpx

    try:
        yield
    except httpx.TimeoutException as error:
        raise TransientError(f"{host} does not answer", reached=reached) from error
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY" in str(error).upper():
            raise NetworkError(
                f"the certificate of {host} is not trusted here",
                hint="set the clock; behind a proxy with certificates of its own, point SSL_CERT_FILE at them",
            ) from error
        raise TransientError(f"cannot connect to {host}: {_reason(error)}", reached=reached) from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise TransientError(f"the connection to {host} broke", reached=reached) from error


def _reason(error: Exception) -> str:
    return str(error).removeprefix("[Errno").split("]", 1)[-1].strip()[:100] or "no answer"


def _parse_url(url: str) -> httpx.URL:
    import httpx

    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise NetworkError("the hub redirects to what is not an address", hint="check HF_ENDPOINT") from error
    if parsed.scheme not in _DEFAULT_PORTS or not parsed.host or parsed.userinfo:
        raise NetworkError("the hub redirects to what is not a web address", hint="check HF_ENDPOINT")
    return parsed


def _next_url(current: httpx.URL, location: str) -> str:
    import httpx

    try:
        target = current.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise NetworkError(f"{current.host} redirects to what is not an address", hint="check HF_ENDPOINT") from error
    if not location:
        raise NetworkError(f"{current.host} redirects to nowhere", hint="check HF_ENDPOINT")
    if current.scheme == "https" and target.scheme != "https":
        raise NetworkError(
            f"{current.host} redirects from https to {target.scheme}, which is not followed",
            hint="check HF_ENDPOINT and the proxy",
        )
    return str(target)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host.lower(), url.port or _DEFAULT_PORTS.get(url.scheme, 0)


def _host(settings: HubSettings) -> str:
    return _parse_url(settings.endpoint).host
