"""How people name a repository of a model hub: ``OWNER/REPO[:QUANT or FILE][@REVISION]`` or the address of its page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from edgellm.errors import UsageError

__all__ = ["DEFAULT_REVISION", "HubReference", "is_hub_reference", "parse_hub_reference"]

DEFAULT_REVISION = "main"

_HOSTS = ("huggingface.co/", "www.huggingface.co/", "hf.co/")
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"{_NAME}/{_NAME}")
_SELECTOR = re.compile(r"[\w.+ -]+(?:/[\w.+ -]+)*")
_REVISION = re.compile(r"[\w.+-]+(?:/[\w.+-]+)*")
_FORM = "write it like OWNER/REPO, OWNER/REPO:Q4_K_M, OWNER/REPO:FILE.gguf or OWNER/REPO@REVISION"
_LIMIT = 1000


@dataclass(frozen=True)
class HubReference:
    """A repository, what is wanted of it, and at which revision.

    ``selector`` is the text after the colon, a recipe (``Q4_K_M``) or a file's path, None when absent; ``revision`` is
    a branch, a tag or a commit.
    """

    repo_id: str
    selector: str | None = None
    revision: str = DEFAULT_REVISION

    def __str__(self) -> str:
        selector = f":{self.selector}" if self.selector else ""
        revision = f"@{self.revision}" if self.revision != DEFAULT_REVISION else ""
        return f"{self.repo_id}{selector}{revision}"


def is_hub_reference(text: str) -> bool:
    """True for what ``parse_hub_reference`` can read; a relative path of two parts looks the same."""
    try:
        parse_hub_reference(text)
    except UsageError:
        return False
    return True


def parse_hub_reference(text: str) -> HubReference:
    """Read ``OWNER/REPO[:QUANT or FILE][@REVISION]``.

    The repository may be written as ``hf.co/OWNER/REPO``, ``huggingface.co/OWNER/REPO`` or ``https://...``; the address
    of a file's or a folder's page (``/blob/``, ``/resolve/``, ``/tree/``) gives revision and path. Raises UsageError.
    """
    rest = text.strip()
    if len(rest) > _LIMIT or not rest.isprintable():
        raise UsageError("this is not the name of a hub repository", hint=_FORM)
    if rest.lower().startswith(("https://", "http://", "hf://")):
        return _parse_address(rest)
    for host in _HOSTS:
        if rest.lower().startswith(host):
            return _parse_address(f"https://{rest}")
    return _parse_short(rest, text)


def _parse_address(address: str) -> HubReference:
    try:
        parts = urlsplit(address)
        host, scheme = (parts.hostname or "").lower(), parts.scheme.lower()
    except ValueError as error:
        raise UsageError(f"{address!r} is not an address", hint=_FORM) from error
    if scheme == "hf":
        return _parse_short(address[len("hf://") :], address)
    if f"{host}/" not in _HOSTS:
        raise UsageError(
            f"{host or address} is not a model hub that is known",
            hint="give OWNER/REPO and set HF_ENDPOINT to the address of another hub",
        )
    path = unquote(parts.path).strip("/")
    owner_repo, kind, rest = _split_page(path)
    if kind is None:
        return _parse_short(owner_repo, address)
    revision, _, file = rest.partition("/")
    selector = f":{file}" if file and kind != "tree" else ""
    return _parse_short(f"{owner_repo}{selector}@{revision or DEFAULT_REVISION}", address)


def _split_page(path: str) -> tuple[str, str | None, str]:
    parts = path.split("/", 3)
    if len(parts) >= 3 and parts[2] in ("blob", "resolve", "tree", "raw"):
        return "/".join(parts[:2]), parts[2], parts[3] if len(parts) > 3 else ""
    return path, None, ""


def _parse_short(rest: str, text: str) -> HubReference:
    rest, at, revision = rest.partition("@")
    repo_id, colon, selector = rest.partition(":")
    problem = None
    if not _REPO_ID.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id or repo_id.endswith(".git"):
        problem = f"{text[:200]!r} is not the name of a hub repository"
    elif (colon and not _SELECTOR.fullmatch(selector)) or _climbs(selector):
        problem = f"{selector[:200]!r} is neither a recipe nor a file of a repository"
    elif (at and not _REVISION.fullmatch(revision)) or _climbs(revision):
        problem = f"{revision[:200]!r} is not a revision"
    if problem:
        raise UsageError(problem, hint=_FORM)
    return HubReference(repo_id, selector or None, revision or DEFAULT_REVISION)


def _climbs(path: str) -> bool:
    return any(part in (".", "..") for part in path.split("/"))
