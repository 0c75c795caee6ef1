"""Checkpoint folder -> vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgellm.errors import EdgeLLMError, UnsupportedError
from edgellm_converters.arch import is_encoder
from edgellm_converters.checkpoint.sentence import read_sentence_config
from edgellm_converters.tokenizer.byte_fallback import byte_fallback_table, space_prefix_of
from edgellm_converters.tokenizer.byte_level import byte_level_table
from edgellm_converters.tokenizer.chat_template import chat_templates
from edgellm_converters.tokenizer.files import TokenizerFiles, open_tokenizer_files
from edgellm_converters.tokenizer.metadata import tokenizer_metadata
from edgellm_converters.tokenizer.normalizer import read_normalizer
from edgellm_converters.tokenizer.pretokenizer import describe, recognise, steps_of
from edgellm_converters.tokenizer.sentencepiece_model import SentencePieceModel, parse_sentencepiece
from edgellm_converters.tokenizer.special import special_tokens
from edgellm_converters.tokenizer.spm import added_tokens_of, require_supported, spm_normalization, spm_table
from edgellm_converters.tokenizer.tokenizer_json import AddedToken, TokenizerJson, parse_tokenizer_json
from edgellm_converters.tokenizer.vocabulary import Normalization, SpacePrefix, TokenTable, Vocabulary
from edgellm_converters.tokenizer.word_piece import is_word_piece, word_piece_vocabulary

__all__ = ["load_vocabulary"]


@dataclass
class _Draft:
    """What the three forms of a vocabulary differ in."""

    table: TokenTable
    notes: list[str]
    added: tuple[AddedToken, ...]
    normalization: Normalization | None = None
    space_prefix: SpacePrefix = "never"
    check_all_tokens: bool = False
    fallback_ids: dict[str, int] = field(default_factory=dict)


def load_vocabulary(folder: Path, config: dict[str, object]) -> Vocabulary:
    """The vocabulary of the checkpoint in ``folder``; ``config`` is its config.json.

    Raises CheckpointError for missing, torn or lying files, UnsupportedError for tokenizers that llama.cpp cannot
    follow. That the vocabulary gives the right token ids is proved by ``prove``.
    """
    files = open_tokenizer_files(folder)
    if is_encoder(config):
        if not is_word_piece(files):
            raise UnsupportedError(
                f"the tokenizer of this {config['model_type']!s} model is none of WordPiece",
                hint="supported: encoders whose tokenizer.json has a WordPiece model",
            )
        return word_piece_vocabulary(files, config, lowercase_before=read_sentence_config(folder).lowercase)
    tokenizer = _tokenizer_json(files)
    piece_model = _piece_model(files, tokenizer)
    if piece_model is not None:
        draft = _from_sentencepiece(files, piece_model, tokenizer, config)
    elif tokenizer is not None and _is_byte_level(tokenizer):
        draft = _from_byte_level(tokenizer, config)
    else:
        assert tokenizer is not None, "open_tokenizer_files refuses a folder without any vocabulary"
        draft = _from_byte_fallback(tokenizer, config)
    special, notes = special_tokens(
        files, tokenizer.post_processor if tokenizer else None, config, draft.table, draft.fallback_ids
    )
    templates = chat_templates(files)
    return Vocabulary(
        table=draft.table,
        special=special,
        templates=templates,
        metadata=tokenizer_metadata(
            draft.table, special, templates, add_space_prefix=_add_space_prefix(files, config, draft)
        ),
        normalization=draft.normalization,
        space_prefix=draft.space_prefix,
        check_all_tokens=draft.check_all_tokens,
        strips_spaces=frozenset(
            token.id for token in draft.added if token.strips and token.id < len(draft.table.tokens)
        ),
        notes=tuple(draft.notes + notes),
        sources=files.sources,
    )


def _tokenizer_json(files: TokenizerFiles) -> TokenizerJson | None:
    """tokenizer.json parsed; None when it is absent, or of a kind that only tokenizer.model beside it can stand for."""
    if files.tokenizer is None:
        return None
    try:
        return parse_tokenizer_json(files.tokenizer)
    except UnsupportedError:
        if files.sentencepiece is None:
            raise
        return None


def _piece_model(files: TokenizerFiles, tokenizer: TokenizerJson | None) -> SentencePieceModel | None:
    """tokenizer.model, when it is the vocabulary: it has the scores that tokenizer.json lost.

    Some releases put a file of this name beside a byte-level tokenizer.json that is something else.
    """
    if files.sentencepiece is None or (tokenizer is not None and _is_byte_level(tokenizer)):
        return None
    try:
        model = parse_sentencepiece(files.sentencepiece, str(files.folder / "tokenizer.model"))
        require_supported(model)
    except EdgeLLMError:
        if tokenizer is None:
            raise
        return None
    return model


def _is_byte_level(tokenizer: TokenizerJson) -> bool:
    steps = [step[0] for step in steps_of(tokenizer.pre_tokenizer)]
    if "bytelevel" in steps or "bytes" in steps:
        return True
    if tokenizer.model.byte_fallback:
        return False
    raise UnsupportedError(
        "the BPE tokenizer is neither byte-level nor has it byte fallback; its pre_tokenizer is "
        f"{describe(steps_of(tokenizer.pre_tokenizer))}",
        hint="edgellm packs byte-level BPE, BPE with byte fallback, and SentencePiece BPE",
    )


def _from_byte_level(tokenizer: TokenizerJson, config: dict[str, object]) -> _Draft:
    normalizer = read_normalizer(tokenizer.normalizer)
    if normalizer.prepends_space or normalizer.marks_spaces:
        raise UnsupportedError(
            "the tokenizer is byte-level but replaces spaces first, which llama.cpp does not",
            hint="known normalizers of byte-level tokenizers: none, NFC, NFD, NFKC, NFKD",
        )
    pre = recognise(tokenizer.pre_tokenizer, ignore_merges=tokenizer.model.ignore_merges)
    table, notes = byte_level_table(tokenizer, pre, config)
    return _Draft(table, notes, tokenizer.added, normalizer.form, check_all_tokens=not pre.exact)


def _from_byte_fallback(tokenizer: TokenizerJson, config: dict[str, object]) -> _Draft:
    normalizer = read_normalizer(tokenizer.normalizer)
    prefix = space_prefix_of(normalizer, tokenizer.pre_tokenizer)
    table, notes = byte_fallback_table(tokenizer, config)
    return _Draft(
        table, notes, tokenizer.added, normalizer.form, prefix, check_all_tokens=tokenizer.model.ignore_merges
    )


def _from_sentencepiece(
    files: TokenizerFiles, model: SentencePieceModel, tokenizer: TokenizerJson | None, config: dict[str, object]
) -> _Draft:
    by_id = {token.id: token for token in (tokenizer.added if tokenizer else ())}
    by_id |= {token.id: token for token in added_tokens_of(files)}
    added = tuple(by_id[token_id] for token_id in sorted(by_id))
    table, notes = spm_table(model, added, config)
    prefix: SpacePrefix = "every text" if model.adds_space_prefix else "never"
    if tokenizer is not None:
        prefix = space_prefix_of(read_normalizer(tokenizer.normalizer), tokenizer.pre_tokenizer)
    own = {"unk": model.unk_id, "bos": model.bos_id, "eos": model.eos_id, "pad": model.pad_id}
    return _Draft(
        table,
        notes,
        added,
        spm_normalization(model),
        prefix,
        fallback_ids={f"{kind}_token_id": token_id for kind, token_id in own.items() if token_id >= 0},
    )


def _add_space_prefix(files: TokenizerFiles, config: dict[str, object], draft: _Draft) -> bool | None:
    """Written where llama.cpp's default is wrong, and where its own converter writes it."""
    wanted = draft.space_prefix == "every text"
    default = draft.table.model == "llama"
    written_by_converter = isinstance(files.config.get("add_prefix_space"), bool) and not str(
        config.get("model_type", "")
    ).startswith("qwen")
    return wanted if wanted != default or written_by_converter else None
