"""What the hub's refusals mean to a person. The token is in none of these texts."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from edgellm.errors import AccessError, EdgeLLMError, NetworkError, NotFoundError

__all__ = ["TransientError", "refusal"]

TOKENS_PAGE = "https://huggingface.co/settings/tokens"

_RETRIED = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524)
_RATE_LIMIT = re.compile(r'"[^"]*"\s*;\s*r\s*=\s*(\d{1,9})\s*;\s*t\s*=\s*(\d{1,9})')
_NETWORK_HINT = "check the network and HF_ENDPOINT, then run the command again; what was downloaded is kept"


class TransientError(Exception):
    """A failure that may pass. Never leaves this room: after enough of them it becomes a NetworkError.

    ``asked_wait_s`` is the wait that the hub asks for; ``reached`` is False while nothing has answered at all;
    ``link_refused`` says that the server of the files does not take the address that the hub gave: such links expire.
    """

    def __init__(
        self, message: str, *, asked_wait_s: float | None = None, reached: bool = True, link_refused: bool = False
    ) -> None:
        super().__init__(message)
        self.link_refused = link_refused
        self.asked_wait_s = asked_wait_s
        self.reached = reached
        self.hint = _NETWORK_HINT


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, host: str, repo_id: str, page: str, has_token: bool
) -> EdgeLLMError | TransientError:
    """The error for an answer of 400 and more.

    ``headers`` finds names in any case; ``page`` is the address where a person sees the repository.
    The codes are those of the hub's X-Error-Code header.
    """
    code, said = headers.get("x-error-code", ""), _said(headers, body)
    if status == 429:
        wait_s = _asked_wait_s(headers)
        return TransientError(f"{host} answers that there were too many requests", asked_wait_s=wait_s)
    if status in _RETRIED:
        return TransientError(f"{host} answers {status}{said}", asked_wait_s=_retry_after_s(headers))
    if code == "GatedRepo":
        return _gated(repo_id, page, has_token)
    if code == "RevisionNotFound":
        return NotFoundError(f"{repo_id} has no such revision on {host}", hint=f"{page}/tree/main lists its branches")
    if code == "EntryNotFound":
        return NotFoundError(f"{repo_id} has no such file on {host}", hint=f"{page}/tree/main lists its files")
    if code == "RepoNotFound" or status == 404:
        hint = "check the name; a private repository needs HF_TOKEN"
        if has_token:
            hint = "check the name, and that your token may read it"
        return NotFoundError(f"there is no repository {repo_id} on {host}, or it is private", hint=hint)
    if status == 401:
        if has_token:
            return AccessError(f"{host} does not accept the token", hint=f"{_token_hint()}, a new one")
        return AccessError(f"{host} wants a token for {repo_id}{said}", hint=_access_hint(page))
    if status == 403:
        hint = f"accept its conditions at {page} if it has any, and check HF_TOKEN" if has_token else _access_hint(page)
        return AccessError(f"{host} refuses access to {repo_id}{said}", hint=hint)
    return NetworkError(f"{host} answers {status} for {repo_id}{said}", hint="check the name and HF_ENDPOINT")


def _gated(repo_id: str, page: str, has_token: bool) -> AccessError:
    if has_token:
        message = f"{repo_id} is gated, and the account of your token has no access to it"
        return AccessError(message, hint=f"accept its conditions at {page} with that account, and check HF_TOKEN")
    return AccessError(f"{repo_id} is gated", hint=f"accept its conditions at {page}, then {_token_hint()}")


def _access_hint(page: str) -> str:
    """For a refusal without a reason, as a mirror or a proxy gives it: the repository may be gated or private."""
    return f"{_token_hint()}; if {page} asks for conditions, accept them there"


def _token_hint() -> str:
    return f"set HF_TOKEN to a token from {TOKENS_PAGE}"


def _said(headers: Mapping[str, str], body: bytes) -> str:
    """What the hub says about it, as one short line that a terminal can show."""
    text = headers.get("x-error-message", "")
    if not text:
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            answer = None
        error = answer.get("error") if isinstance(answer, dict) else None
        text = error if isinstance(error, str) else ""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[:200]).split())
    return f": {text}" if text else ""


def _asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from Retry-After, else from the RateLimit header (draft-ietf-httpapi-ratelimit-headers) at its limit."""
    wait_s = _retry_after_s(headers)
    if wait_s is None:
        match = _RATE_LIMIT.search(headers.get("ratelimit", ""))
        if match and int(match[1]) == 0:
            wait_s = float(match[2])
    return wait_s


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds, or a date (RFC 9110, 10.2.3), counted from the server's own: a board's clock may be years off."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    until, now = _date_s(text), _date_s(headers.get("date", ""))
    return None if until is None or now is None else max(0.0, until - now)


def _date_s(text: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text[:40]).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
