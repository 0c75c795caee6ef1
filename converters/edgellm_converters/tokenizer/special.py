"""Special token ids, the flags that put them around a text, and the tokens that end a reply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgellm.errors import CheckpointError
from edgellm.formats.reply_ends import ENDS_BY_TEXT
from edgellm_converters.tokenizer.files import TokenizerFiles
from edgellm_converters.tokenizer.post_processor import Around, read_post_processor
from edgellm_converters.tokenizer.vocabulary import SpecialTokens, TokenTable

__all__ = ["special_tokens"]

# Pre-tokenizer names under which llama.cpp puts the bos token before a text unless it is told otherwise.
_BOS_BY_DEFAULT = frozenset(("llama-bpe", "tekken"))
_KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def special_tokens(
    files: TokenizerFiles,
    post_processor: object,
    config: dict[str, object],
    table: TokenTable,
    fallback: Mapping[str, int],
) -> tuple[SpecialTokens, list[str]]:
    """Special tokens of the checkpoint, and notes about ends of reply that GGUF cannot hold.

    An id comes from the text that tokenizer_config.json gives, else from config.json, else from ``fallback`` (the
    SentencePiece model's own). Raises CheckpointError when no token ends a reply.
    """
    around = _around(files, post_processor)
    ids_by_text = {text: token_id for token_id, text in enumerate(table.tokens)}
    ids: dict[str, int] = {}
    texts = {kind: _text(files.config.get(f"{kind}_token")) for kind in _KINDS}
    texts |= {"bos": around.bos, "eos": around.eos, "cls": around.cls, "sep": around.sep}
    for kind, text in [*texts.items(), ("eot", around.eot)]:
        if text is not None and text in ids_by_text:
            ids[kind] = ids_by_text[text]
    for source in (config, fallback):
        for kind in _KINDS:
            token_id = source.get(f"{kind}_token_id")
            if isinstance(token_id, int) and not isinstance(token_id, bool) and 0 <= token_id < len(table.tokens):
                ids.setdefault(kind, token_id)
    ends = _ends(files.generation_config, "generation_config.json") + _ends(config, "config.json")
    ends = [token_id for token_id in ends if token_id < len(table.tokens)]
    if "eos" not in ids and ends:
        ids["eos"] = ends[0]
    if "eos" not in ids:
        raise CheckpointError(
            "no token ends a reply: neither tokenizer_config.json, config.json nor generation_config.json names one",
            hint="add eos_token_id to config.json",
        )
    ends = list(dict.fromkeys([ids["eos"], *ends]))
    notes = _extra_ends(ids, ends, table.tokens)
    add = _flags(files, around, table, has_post_processor_source=files.tokenizer is not None)
    for kind in ("bos", "eos"):
        if add.get(kind) and kind not in ids:
            raise CheckpointError(
                f"the tokenizer puts a {kind} token around every text, but no file says which",
                hint=f"add {kind}_token_id to config.json",
            )
    return SpecialTokens(ids=ids, add=add, eos_token_ids=tuple(ends)), notes


def _around(files: TokenizerFiles, post_processor: object) -> Around:
    texts = {kind: _text(files.config.get(f"{kind}_token")) for kind in ("bos", "eos", "cls", "sep")}
    around = Around(
        bos=texts["bos"] or texts["cls"], eos=texts["eos"] or texts["sep"], cls=texts["cls"], sep=texts["sep"]
    )
    return read_post_processor(post_processor, around)


def _text(value: Any) -> str | None:
    """The text of a special token: a string, or an added-token object."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) and content else None


def _ends(source: Mapping[str, object], where: str) -> list[int]:
    value = source.get("eos_token_id")
    ids: Iterable[object] = value if isinstance(value, list) else [] if value is None else [value]
    checked = []
    for token_id in ids:
        if not isinstance(token_id, int) or isinstance(token_id, bool) or token_id < 0:
            raise CheckpointError(
                f"eos_token_id in {where} has {str(token_id)[:40]!r}, which is no token id", hint="correct the file"
            )
        checked.append(token_id)
    return checked


def _extra_ends(ids: dict[str, int], ends: list[int], tokens: list[str]) -> list[str]:
    """Give eot and eom the ends that llama.cpp would not see; notes about those for which there is no place left."""
    covered = {ids.get(kind) for kind in ("eos", "eot", "eom")}
    hidden = [token_id for token_id in ends if token_id not in covered and tokens[token_id] not in ENDS_BY_TEXT]
    for kind in ("eot", "eom"):
        if kind not in ids and hidden:
            ids[kind] = hidden.pop(0)
    if not hidden:
        return []
    names = ", ".join(f"{tokens[token_id]!r} ({token_id})" for token_id in hidden)
    return [f"GGUF has no place for these ends of a reply: {names}; edgellm stops at them, other programs may not"]


def _flags(
    files: TokenizerFiles, around: Around, table: TokenTable, *, has_post_processor_source: bool
) -> dict[str, bool]:
    add = dict(around.add)
    for kind in ("bos", "eos", "sep"):
        configured = files.config.get(f"add_{kind}_token")
        if isinstance(configured, bool):
            add.setdefault(kind, configured)
    # tokenizer.json says all there is to say; llama.cpp's own default must not add to it.
    if has_post_processor_source and (table.model == "llama" or table.pre in _BOS_BY_DEFAULT):
        add.setdefault("bos", False)
    return add
