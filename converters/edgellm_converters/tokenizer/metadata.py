"""The ``tokenizer.*`` keys of a GGUF, in the order of llama.cpp's own converter."""

from __future__ import annotations

from edgellm_converters.tokenizer.vocabulary import ChatTemplates, MetadataEntry, SpecialTokens, TokenTable

__all__ = ["tokenizer_metadata"]

_PREFIX = "tokenizer.ggml."
# GGUF's spelling of "separator" is part of the format.
_ID_KEYS = {"unk": "unknown", "sep": "seperator", "pad": "padding"}


def tokenizer_metadata(
    table: TokenTable, special: SpecialTokens, templates: ChatTemplates, *, add_space_prefix: bool | None
) -> list[MetadataEntry]:
    """All entries. ``add_space_prefix`` None leaves llama.cpp's default: a space for SentencePiece, none for BPE."""
    entries: list[MetadataEntry] = []
    if add_space_prefix is not None:
        entries.append((f"{_PREFIX}add_space_prefix", add_space_prefix, "bool"))
    entries += [
        (f"{_PREFIX}model", table.model, "str"),
        (f"{_PREFIX}pre", table.pre, "str"),
        (f"{_PREFIX}tokens", table.tokens, "arr[str]"),
    ]
    if table.scores is not None:
        entries.append((f"{_PREFIX}scores", table.scores, "arr[f32]"))
    entries.append((f"{_PREFIX}token_type", table.types, "arr[i32]"))
    if table.merges is not None:
        entries.append((f"{_PREFIX}merges", table.merges, "arr[str]"))
    for kind, token_id in special.ids.items():
        entries.append((f"{_PREFIX}{_ID_KEYS.get(kind, kind)}_token_id", token_id, "u32"))
    for kind, value in special.add.items():
        entries.append((f"{_PREFIX}add_{kind}_token", value, "bool"))
    if templates.named:
        entries.append(("tokenizer.chat_templates", sorted(templates.named), "arr[str]"))
        entries += [(f"tokenizer.chat_template.{name}", text, "str") for name, text in sorted(templates.named.items())]
    if templates.default is not None:
        entries.append(("tokenizer.chat_template", templates.default, "str"))
    return entries
