"""Which hub, with which token, and whether at all: the variables that the hub's own tools read, and EDGELLM_OFFLINE."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edgellm.errors import UsageError
from edgellm.files import read_small_file
from edgellm.paths import user_path

__all__ = ["DEFAULT_ENDPOINT", "OFFLINE", "HubSettings", "hub_settings", "is_on"]

OFFLINE = "EDGELLM_OFFLINE"
DEFAULT_ENDPOINT = "https://huggingface.co"
_TOKEN_LIMIT_BYTES = 4096
_NO = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class HubSettings:
    """``endpoint`` without a slash at its end; ``token`` is sent to the endpoint's own origin and nowhere else."""

    endpoint: str = DEFAULT_ENDPOINT
    token: str | None = field(default=None, repr=False)
    offline: bool = False


def hub_settings(environ: Mapping[str, str] | None = None) -> HubSettings:
    """The settings of this environment.

    ==================  ===========================================================================
    HF_ENDPOINT         address of the hub (https://huggingface.co)
    HF_TOKEN            the token; else the first line of the file HF_TOKEN_PATH, else of HF_HOME/token
    HF_HOME             ~/.cache/huggingface, or huggingface below XDG_CACHE_HOME
    EDGELLM_OFFLINE     1: no connection is opened; HF_HUB_OFFLINE means the same
    ==================  ===========================================================================

    Raises UsageError naming the variable; the message never holds the token.
    """
    environ = os.environ if environ is None else environ
    return HubSettings(
        endpoint=_endpoint(environ),
        token=_token(environ),
        offline=any(is_on(name, environ) for name in (OFFLINE, "HF_HUB_OFFLINE")),
    )


def is_on(name: str, environ: Mapping[str, str]) -> bool:
    """True when the variable is set and does not say no."""
    return environ.get(name, "").strip().lower() not in _NO


def _endpoint(environ: Mapping[str, str]) -> str:
    text = environ.get("HF_ENDPOINT", "").strip().rstrip("/") or DEFAULT_ENDPOINT
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        good = good and parts.username is None and (parts.port is None or parts.port > 0) and text.isprintable()
    except ValueError:
        good = False
    if not good:
        raise UsageError("HF_ENDPOINT is not the address of a hub", hint=f"write it like {DEFAULT_ENDPOINT}")
    return text


def _token(environ: Mapping[str, str]) -> str | None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environ.get(name, "").strip():
            return _checked(environ[name], name)
    path = _token_path(environ)
    if path is None or not path.is_file():
        return None
    text = read_small_file(path, _TOKEN_LIMIT_BYTES, "the token file").decode("utf-8", errors="replace")
    return _checked(text, str(path)) if text.strip() else None


def _token_path(environ: Mapping[str, str]) -> Path | None:
    if environ.get("HF_TOKEN_PATH"):
        return user_path(environ["HF_TOKEN_PATH"])
    if environ.get("HF_HOME"):
        return user_path(environ["HF_HOME"]) / "token"
    if environ.get("XDG_CACHE_HOME"):
        return user_path(environ["XDG_CACHE_HOME"]) / "huggingface" / "token"
    home = environ.get("HOME")
    return Path(home) / ".cache" / "huggingface" / "token" if home else None


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError(f"{where} does not hold a token of a hub", hint="copy the token again; it begins with hf_")
    return token
