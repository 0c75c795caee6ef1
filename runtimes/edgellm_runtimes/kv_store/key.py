"""What a saved prefix depends on, and the file name that follows from it."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from edgellm.errors import UsageError

__all__ = [
    "FORMAT_VERSION",
    "AdapterKey",
    "PrefixKey",
    "PrefixKind",
    "base_name",
    "entry_name",
    "model_name",
    "scope_digest",
    "token_bytes",
]

FORMAT_VERSION = 1  # of the files, and of what the keys mean
TOKEN_BYTES = 4

PrefixKind = Literal["system", "chat"]
"""A baked system prompt, which everybody may reuse; or a conversation, for requests of its own scope."""

_HASH_BYTES = 16


class AdapterKey(msgspec.Struct, frozen=True, order=True):
    """A LoRA adapter in force: sha256:... of its file, and how strongly it counts."""

    digest: str
    scale: float = 1.0


class PrefixKey(msgspec.Struct, frozen=True):
    """Everything that decides whether a state fits, besides its tokens. ``traits`` are the backend's."""

    model: str  # sha256:... of the model file
    traits: Mapping[str, str]
    adapters: tuple[AdapterKey, ...] = ()  # sorted

    def with_adapters(self, adapters: Sequence[AdapterKey]) -> PrefixKey:
        """The key under these adapters, in whatever order they come."""
        return msgspec.structs.replace(self, adapters=tuple(sorted(adapters)))


def model_name(model: str) -> str:
    """How the names of a model's files begin."""
    return f"{_hash([model])}-"


def base_name(key: PrefixKey) -> str:
    """How the names of the files begin that this model and backend may use; adapters tell more."""
    return f"{model_name(key.model)}{_hash([FORMAT_VERSION, key.model, key.traits])}-"


def entry_name(key: PrefixKey, kind: PrefixKind, scope: str, tokens: bytes) -> str:
    """The file name of one prefix: the same prefix has one name. ``scope`` is a digest, ``tokens`` as on disk."""
    identity = _hash([FORMAT_VERSION, key, kind, scope, hashlib.blake2b(tokens).hexdigest()])
    return f"{base_name(key)}{identity}.{kind}.kv"


def scope_digest(scope: str) -> str:
    """What is written of a scope, which may name a user or an API key; empty for everybody."""
    return (
        hashlib.blake2b(scope.encode(), digest_size=_HASH_BYTES, person=b"edgellm scope").hexdigest() if scope else ""
    )


def token_bytes(tokens: Sequence[int]) -> bytes:
    """Token ids as they lie on disk: little-endian int32. Raises UsageError for what is no token id."""
    import sys

    try:
        values = array("i", tokens)
    except (OverflowError, TypeError) as error:
        raise UsageError(f"these are no token ids: {error}") from error
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _hash(value: object) -> str:
    data = msgspec.json.encode(value, order="sorted")
    return hashlib.blake2b(data, digest_size=_HASH_BYTES).hexdigest()
