"""Names of bundles: ``<model>:<device>-<recipe>``, and the references that people type.

A name follows the rules of an OCI repository, a tag those of an OCI tag in lower case; capitals are folded on input,
so ``Tiny-LLM:raspberrypi5-Q4_K_M`` and ``tiny-llm:raspberrypi5-q4_k_m`` are the same bundle.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from edgellm.errors import UsageError

__all__ = ["BundleName", "Reference", "default_name", "parse_name", "parse_reference", "sanitize_name", "sanitize_tag"]

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-z0-9_][a-z0-9._-]*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME_LIMIT = 200
_TAG_LIMIT = 128
_RULES = "use a-z, 0-9 and single . _ - / between them, and one : before the tag"


@dataclass(frozen=True, order=True)
class BundleName:
    """A full name: model and tag."""

    name: str
    tag: str

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"


@dataclass(frozen=True)
class Reference:
    """What a user typed to mean a bundle: ``NAME``, ``NAME:TAG``, either with ``@previous`` or ``@sha256:...``."""

    name: str
    tag: str | None = None
    digest: str | None = None
    previous: bool = False

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        at = "@previous" if self.previous else f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{at}"


def parse_name(text: str, *, default_tag: str) -> BundleName:
    """Read ``NAME[:TAG]`` as given to --name. Raises UsageError."""
    reference = parse_reference(text)
    if reference.digest or reference.previous:
        raise UsageError(f"{text!r} names one version of a bundle", hint="a new bundle is called NAME or NAME:TAG")
    return BundleName(reference.name, reference.tag or sanitize_tag(default_tag))


def parse_reference(text: str) -> Reference:
    """Read ``NAME[:TAG][@previous|@sha256:HEX]``. Raises UsageError that says what is wrong with it."""
    folded = text.strip().lower()
    full_name, at, version = folded.partition("@")
    name, colon, tag = full_name.partition(":")
    if at and version != "previous" and not _DIGEST.fullmatch(version):
        raise UsageError(
            f"{_shown(text)}: after @ comes `previous` or a whole sha256:... digest, not {_shown(version)}",
            hint="`edgellm list --json` prints the digests",
        )
    if len(name) > _NAME_LIMIT or not _NAME.fullmatch(name):
        raise UsageError(f"{_shown(text)} is not a bundle name", hint=_suggestion(name, tag))
    if colon and (len(tag) > _TAG_LIMIT or not _TAG.fullmatch(tag)):
        raise UsageError(f"{_shown(text)} has {_shown(tag)} where the tag should be", hint=_suggestion(name, tag))
    previous = version == "previous"
    return Reference(name, tag or None, version if at and not previous else None, previous)


def default_name(source_name: str, device_id: str, recipe: str) -> BundleName:
    """The name of a bundle whose user gave none: ``<model>:<device>-<recipe>`` in lower case.

    ``source_name`` is the folder or file name of the model, whatever characters it has.
    """
    return BundleName(sanitize_name(source_name.removesuffix(".gguf")), sanitize_tag(f"{device_id}-{recipe}"))


def sanitize_name(text: str) -> str:
    """The nearest allowed name (one component, no slash); ``model`` when nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9._-]+", "-", plain)
    plain = re.sub(r"[._-]{2,}", _one_separator, plain)
    return plain[:_TAG_LIMIT].strip("._-") or "model"


def sanitize_tag(text: str) -> str:
    """The nearest allowed tag; ``latest`` when nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._-]+", "-", plain)[:_TAG_LIMIT].strip(".-") or "latest"


def _one_separator(match: re.Match[str]) -> str:
    """Runs of separators become one; dashes and a double underscore are allowed as they are."""
    run = match.group()
    return run if run == "__" or set(run) == {"-"} else "-"


def _shown(text: str) -> str:
    """``text`` quoted for a message, shortened, with odd characters escaped."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _suggestion(name: str, tag: str) -> str:
    parts = "/".join(sanitize_name(part) for part in name.split("/") if part) or "model"
    better = f"{parts[:_NAME_LIMIT].strip('._-/')}:{sanitize_tag(tag)}" if tag else parts[:_NAME_LIMIT].strip("._-/")
    return f"{_RULES}; for example {better}"
