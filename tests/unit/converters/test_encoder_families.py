"""Encoders: what config.json, the names of tensors and the files of sentence-transformers have to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_checkpoint import BERT_CONFIG, bert_tensors, make_bert, tokenizer_json
from edgellm.errors import CheckpointError, EdgeLLMError, UnsupportedError
from edgellm.sources.local import open_source
from edgellm_converters.arch import get_decoder, get_encoder, read_model
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.checkpoint.sentence import SentenceConfig, read_sentence_config
from edgellm_converters.pack.checkpoint_input import CheckpointInput
from edgellm_converters.recipes import get_recipe
from edgellm_converters.shape import shape_of
from edgellm_converters.tokenizer import TokenType, load_vocabulary, prove

CONFIG = {"model_type": "bert"}


def test_both_writers_read_the_same_tensors(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert")
    with open_checkpoint(tmp_path / "bert") as checkpoint:
        hyper, plans = read_model(checkpoint)
        names = {plan.name for plan in plans}
        assert len(plans) == 5 + 16 * BERT_CONFIG["num_hidden_layers"]
        assert {"token_embd.weight", "position_embd.weight", "token_types.weight", "token_embd_norm.bias"} <= names
        assert {"blk.2.attn_output_norm.weight", "blk.2.layer_output_norm.bias", "blk.0.ffn_up.bias"} <= names
        assert hyper.architecture == "bert"
        shape = shape_of(checkpoint, get_recipe("Q8_0"))
    assert (shape.is_encoder, shape.layers, shape.context_length, shape.usual_context) == (True, (), 96, 48)
    assert not shape.is_tied


@pytest.mark.parametrize("style", ["prefix", "gamma", "position_ids"])
def test_other_spellings_of_the_same_checkpoint(tmp_path: Path, style: str) -> None:
    tensors = bert_tensors(BERT_CONFIG)
    if style == "prefix":  # a model with a head, which is left out
        tensors = {f"bert.{name}": values for name, values in tensors.items()}
        tensors["cls.predictions.bias"] = np.zeros(4, np.float32)
    elif style == "gamma":
        spelt = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
        for new, old in spelt:
            tensors = {name.replace(new, old): values for name, values in tensors.items()}
    else:
        tensors["embeddings.position_ids"] = np.zeros((1, 96), np.float32)
    make_bert(tmp_path / "bert", tensors=tensors, config={"architectures": ["BertForMaskedLM"]})
    with open_checkpoint(tmp_path / "bert") as checkpoint:
        _, plans = read_model(checkpoint)
        assert all(plan.source in tensors for plan in plans)


def test_missing_and_foreign_tensors_are_named(tmp_path: Path) -> None:
    tensors = bert_tensors(BERT_CONFIG)
    del tensors["encoder.layer.1.output.dense.bias"]
    make_bert(tmp_path / "lacks", tensors=tensors)
    make_bert(tmp_path / "more", tensors=bert_tensors(BERT_CONFIG) | {"adapter.weight": np.zeros(3, np.float32)})
    for name, message in (("lacks", "encoder.layer.1.output.dense.bias"), ("more", "adapter.weight")):
        with open_checkpoint(tmp_path / name) as checkpoint, pytest.raises(CheckpointError, match=message):
            read_model(checkpoint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "silu"}, "silu"),
        ({"position_embedding_type": "relative_key_query"}, "relative_key_query"),
        ({"is_decoder": True}, "decoder"),
        ({"num_attention_heads": 7}, "multiple of 7"),
        ({"num_hidden_layers": 10**6}, "more than any runtime"),
        ({"layer_norm_eps": -1}, "layer_norm_eps"),
        ({"vocab_size": 0}, "vocab_size"),
    ],
)
def test_what_cannot_be_computed_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgeLLMError, match=message):
        get_encoder(BERT_CONFIG).parse(BERT_CONFIG | changes)


@pytest.mark.parametrize("head", ["BertForSequenceClassification", "BertForTokenClassification", "BertLMHeadModel"])
def test_models_with_a_head_are_refused(head: str) -> None:
    with pytest.raises(UnsupportedError, match=head):
        get_encoder(BERT_CONFIG | {"architectures": [head]})


def test_an_encoder_is_no_decoder() -> None:
    with pytest.raises(UnsupportedError, match="generate no text"):
        get_decoder(BERT_CONFIG)
    with pytest.raises(UnsupportedError, match="no encoders"):
        get_encoder({"model_type": "llama"})


def test_sentence_files(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert", pooling="cls", normalise=False, max_tokens=32)
    found = read_sentence_config(tmp_path / "bert")
    assert (found.pooling, found.normalise, found.max_tokens, found.lowercase) == ("cls", False, 32, False)
    names = [path.relative_to(tmp_path / "bert").as_posix() for path in found.files]
    assert names == ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"]
    make_bert(tmp_path / "bare", pooling=None)
    assert read_sentence_config(tmp_path / "bare") == SentenceConfig()


def test_modules_of_a_later_release(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert")
    modules = json.loads((tmp_path / "bert" / "modules.json").read_text())
    for module, package in zip(modules, ("base.modules.transformer", "sentence_transformer.modules", "x"), strict=True):
        module["type"] = f"sentence_transformers.{package}.{module['type'].rpartition('.')[2]}"
    (tmp_path / "bert" / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "bert" / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 64, "pooling_mode": "mean"}')
    (tmp_path / "bert" / "sentence_bert_config.json").write_text('{"transformer_task": "feature-extraction"}')
    for stated, limit in ((40, 40), (10**30, None)):
        (tmp_path / "bert" / "tokenizer_config.json").write_text(json.dumps({"model_max_length": stated}))
        found = read_sentence_config(tmp_path / "bert")
        assert (found.pooling, found.normalise, found.max_tokens) == ("mean", True, limit)


def test_a_prompt_that_goes_before_every_text_is_told(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert")
    settings = {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}
    (tmp_path / "bert" / "config_sentence_transformers.json").write_text(json.dumps(settings))
    assert read_sentence_config(tmp_path / "bert").prompt == "query: "
    model = CheckpointInput(open_source(str(tmp_path / "bert")), None, "")
    try:
        assert any("'query: '" in note for note in model.facts.notes)
    finally:
        model.close()
    (tmp_path / "bert" / "config_sentence_transformers.json").write_text('{"prompts": {"a": "b"}}')
    assert read_sentence_config(tmp_path / "bert").prompt == ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("modules.json", "{", "not JSON"),
        ("modules.json", "{}", "no list"),
        ("modules.json", '[{"path": ""}]', "without a type"),
        ("modules.json", '[{"type": "a.Transformer", "path": ""}]', "steps Transformer"),
        ("modules.json", '[{"type": "a.WordEmbeddings"}, {"type": "a.Pooling", "path": "1_Pooling"}]', "WordEmb"),
        ("modules.json", '[{"type": "T.Transformer", "path": "0_T"}, {"type": "a.Pooling"}]', "0_T"),
        ("modules.json", '[{"type": "T.Transformer"}, {"type": "a.Pooling", "path": "../x"}]', "no folder in it"),
        ("modules.json", '[{"type": "T.Transformer"}, {"type": "a.Pooling", "path": "2_Pooling"}]', "missing"),
        ("1_Pooling/config.json", "[]", "not a JSON object"),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "max_tokens"),
        ("1_Pooling/config.json", '{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}', "mean, cls"),
        ("1_Pooling/config.json", "{}", "nothing that is known"),
        ("sentence_bert_config.json", '{"max_seq_length": -1}', "max_seq_length"),
        ("sentence_bert_config.json", '{"do_lower_case": 1}', "do_lower_case"),
    ],
)
def test_torn_lying_and_foreign_sentence_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    make_bert(tmp_path / "bert")
    (tmp_path / "bert" / name).write_text(text)
    with pytest.raises((CheckpointError, UnsupportedError), match=message):
        read_sentence_config(tmp_path / "bert")


def test_a_pooling_folder_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert")
    (tmp_path / "bert" / "1_Pooling").rename(tmp_path / "elsewhere")
    (tmp_path / "bert" / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="no folder in it"):
        read_sentence_config(tmp_path / "bert")


def test_a_snapshot_of_a_hub_is_made_of_links(tmp_path: Path) -> None:
    """As the shared cache has it: every file is a link into the folder of blobs."""
    make_bert(tmp_path / "model")
    root = tmp_path / "models--acme--bert"
    folder, blobs = root / "snapshots" / "abc", root / "blobs"
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted(p for p in (tmp_path / "model").rglob("*") if p.is_file())):
        (blobs / str(number)).write_bytes(path.read_bytes())
        link = folder / path.relative_to(tmp_path / "model")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(number))
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.sentence.pooling == "mean"
        assert "1_Pooling/config.json" in checkpoint.files()


def test_the_vocabulary_is_written_as_llama_cpp_looks_it_up(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert", config={"vocab_size": 512})
    vocabulary = load_vocabulary(tmp_path / "bert", BERT_CONFIG | {"vocab_size": 512})
    table = vocabulary.table
    assert (vocabulary.kind, vocabulary.n_tokens) == ("bert", 512)
    assert table.tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert table.types[:5] == [TokenType.CONTROL] * 5
    assert {"\u2581cat", "ing", "\u2581!"} <= set(table.tokens)
    assert table.types[-1] == TokenType.UNUSED
    keys = {key: value for key, value, _ in vocabulary.metadata}
    assert keys["tokenizer.ggml.bos_token_id"] == 2
    assert keys["tokenizer.ggml.seperator_token_id"] == 3
    assert keys["tokenizer.ggml.normalizer.lowercase"] is True
    assert "tokenizer.ggml.normalizer.strip_accents" not in keys
    assert prove(tmp_path / "bert", vocabulary).n_texts > 100


@pytest.mark.parametrize(("lowercase", "strip"), [(False, None), (True, False), (False, True)])
def test_what_the_normalizer_does_is_written_and_proved(tmp_path: Path, lowercase: bool, strip: bool | None) -> None:
    make_bert(tmp_path / "bert", tokenizer=tokenizer_json(lowercase=lowercase, strip_accents=strip))
    vocabulary = load_vocabulary(tmp_path / "bert", CONFIG)
    keys = {key: value for key, value, _ in vocabulary.metadata}
    assert keys["tokenizer.ggml.normalizer.lowercase"] is lowercase
    assert keys.get("tokenizer.ggml.normalizer.strip_accents") is strip
    prove(tmp_path / "bert", vocabulary)


def _with(path: str, value: Any) -> dict[str, Any]:
    """tokenizer.json with another value at ``path``."""
    changed = json.loads(json.dumps(tokenizer_json()))
    *parents, last = path.split(".")
    place = changed
    for parent in parents:
        place = place[int(parent)] if isinstance(place, list) else place[parent]
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("normalizer", None, "text with None"),
        ("normalizer", {"type": "Lowercase"}, "Lowercase"),
        ("normalizer.clean_text", False, "clean_text"),
        ("normalizer.handle_chinese_chars", False, "handle_chinese_chars"),
        ("pre_tokenizer", {"type": "Whitespace"}, "Whitespace"),
        ("model.continuing_subword_prefix", "@@", "@@"),
        ("model.max_input_chars_per_word", 50, "50"),
        ("model.unk_token", "[NONE]", "NONE"),
        ("model.vocab", {"a": 0, "b": 0}, "two tokens"),
        ("added_tokens.4.special", False, "MASK"),
        ("added_tokens.4.single_word", True, "MASK"),
        ("model", {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "none of WordPiece"),
    ],
)
def test_rules_that_are_not_followed_are_refused(tmp_path: Path, path: str, value: Any, message: str) -> None:
    make_bert(tmp_path / "bert", tokenizer=_with(path, value))
    with pytest.raises((UnsupportedError, CheckpointError), match=message):
        load_vocabulary(tmp_path / "bert", CONFIG)


def test_more_tokens_than_the_model_has_are_refused(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert")
    with pytest.raises(CheckpointError, match="vocab_size"):
        load_vocabulary(tmp_path / "bert", CONFIG | {"vocab_size": 100})


def test_text_that_is_lowered_before_a_tokenizer_with_capitals_is_refused(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert", tokenizer=tokenizer_json(lowercase=False))
    (tmp_path / "bert" / "sentence_bert_config.json").write_text('{"max_seq_length": 48, "do_lower_case": true}')
    with pytest.raises(UnsupportedError, match="lowers the text"):
        load_vocabulary(tmp_path / "bert", CONFIG)


def test_a_tokenizer_that_puts_other_tokens_around_a_text_is_refused(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert", tokenizer=_with("post_processor", {"type": "TemplateProcessing", "single": [
        {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}], "pair": [
        {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}}))  # fmt: skip
    vocabulary = load_vocabulary(tmp_path / "bert", CONFIG)
    with pytest.raises(UnsupportedError, match="special tokens"):
        prove(tmp_path / "bert", vocabulary)
