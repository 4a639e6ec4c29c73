"""Text: the reference's words from a published model, and vectors that NumPy computes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from conftest import write_safetensors

DATA = Path(__file__).parents[2] / "tinytorch" / "tests" / "data"
STORIES = DATA / "stories260K"

DIM, HEADS, HIDDEN, LAYERS, CONTEXT = 32, 4, 64, 2, 32


def test_a_published_model_goes_on_as_its_reference_does() -> None:
    pieces: list[str] = []
    made = tt.generate(STORIES / "stories260K.bin", greedy=True, steps=199, show=pieces.append)
    want = np.load(STORIES / "ref_greedy_ids.npy")
    assert made.ids == want[:200].tolist() and made.prompt_tokens == 1 and made.finish == "steps"
    assert str(made) == made.text == "".join(pieces)
    assert (STORIES / "ref_greedy_text.txt").read_text(encoding="utf-8").startswith(made.text)
    assert made.tokens_per_second > 0
    folder = tt.generate(STORIES, "Once upon a time", greedy=True, steps=20, int8=True)
    assert folder.text.startswith("Once upon a time") and folder.ids != made.ids


def test_what_show_raises_ends_the_text() -> None:
    class Mine(Exception):
        pass

    seen = []

    def show(piece: str) -> None:
        seen.append(piece)
        if len(seen) == 3:
            raise Mine

    with pytest.raises(Mine):
        tt.generate(STORIES / "stories260K.bin", greedy=True, show=show)
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"temperature": -1.0}, ValueError, "temperature"),
        ({"top_p": 2.0}, ValueError, "top-p"),
        ({"cache": "disk"}, ValueError, "int8"),
        ({"prompt": ""}, ValueError, "empty"),
        ({"tokenizer": "nowhere.json"}, FileNotFoundError, "nowhere"),
        ({"model": "nowhere.bin"}, FileNotFoundError, "nowhere"),
        ({"steps": "many"}, TypeError, "steps cannot be 'many'"),
        ({"steps": -1}, ValueError, "steps cannot be -1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told) as refused:
        tt.generate(**{"model": STORIES / "stories260K.bin", "steps": 3, **options})
    assert "\n" not in str(refused.value)


def test_a_model_that_is_no_language_model(digits: Path) -> None:
    with pytest.raises(ValueError, match="language model"):
        tt.generate(digits)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A small encoder of random weights, as such models are published, and its weights."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = (DATA / "tokenizers" / "wordpiece.json").read_bytes()
    vocab = len(json.loads(tokenizer)["model"]["vocab"])
    rng = np.random.default_rng(0)
    weights: dict[str, Any] = {
        "embeddings.word_embeddings.weight": rng.standard_normal((vocab, DIM)),
        "embeddings.position_embeddings.weight": rng.standard_normal((CONTEXT, DIM)),
        "embeddings.token_type_embeddings.weight": rng.standard_normal((2, DIM)),
    }
    sizes = {"attention.self.query": (DIM, DIM), "attention.self.key": (DIM, DIM), "attention.self.value": (DIM, DIM)}
    sizes |= {"attention.output.dense": (DIM, DIM), "intermediate.dense": (HIDDEN, DIM), "output.dense": (DIM, HIDDEN)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        for name, (out, into) in sizes.items():
            weights[f"{at}{name}.weight"] = rng.standard_normal((out, into)) / math.sqrt(into)
            weights[f"{at}{name}.bias"] = rng.standard_normal(out) / 10
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    for name in norms:
        weights[f"{name}.weight"] = 1 + rng.standard_normal(DIM) / 10
        weights[f"{name}.bias"] = rng.standard_normal(DIM) / 10
    write_safetensors(folder / "model.safetensors", weights, {})
    config = {
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": DIM, "vocab_size": vocab, "intermediate_size": HIDDEN,
        "layer_norm_eps": 1e-12, "max_position_embeddings": CONTEXT, "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS, "pad_token_id": 0, "type_vocab_size": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_bytes(tokenizer)
    stages = [("", "x.Transformer"), ("1_Pooling", "x.Pooling"), ("", "x.Normalize")]
    (folder / "modules.json").write_text(json.dumps([{"path": path, "type": kind} for path, kind in stages]))
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder, weights


def bert(weights: dict[str, Any], ids: list[int]) -> Any:
    """The mean of BERT's last hidden states, of length 1, by the paper."""

    def norm(x: Any, name: str) -> Any:
        centered = x - x.mean(axis=-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: Any, name: str) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        q, k, v = (
            linear(x, f"{at}attention.self.{part}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = np.exp(q @ k.transpose(0, 2, 1) / math.sqrt(DIM / HEADS))
        mixed = (scores / scores.sum(axis=-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), DIM)
        x = norm(x + linear(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        wide = linear(x, f"{at}intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = norm(x + linear(wide, f"{at}output.dense"), f"{at}output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_sentences_become_the_vectors_that_numpy_computes(encoder: tuple[Path, dict[str, Any]]) -> None:
    folder, weights = encoder
    vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    sentences = ["a b c", "d", "a 1 2 3 . b"] * 20
    vectors = tt.embed(folder, sentences)
    assert vectors.shape == (60, DIM) and vectors.dtype == np.float32
    for sentence, vector in zip(sentences[:3], vectors):
        ids = [vocab["[CLS]"], *[vocab[word] for word in sentence.split()], vocab["[SEP]"]]
        np.testing.assert_allclose(vector, bert(weights, ids), atol=1e-4)
    steps: list[tuple[str, int, int]] = []
    kept = tt.Encoder(folder)
    again = tt.embed(kept, iter(sentences), progress=lambda *step: steps.append(step))
    np.testing.assert_allclose(again, vectors, atol=1e-6)
    assert steps[-1] == ("embedding", 2, 2)
    int8 = tt.embed(folder, sentences, int8=True)
    assert 0.98 < (int8 * vectors).sum(axis=1).min() < 1


def test_an_encoder_is_judged_by_its_cosine(encoder: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = encoder
    sentences, int8 = tmp_path / "sentences.txt", tmp_path / "int8.safetensors"
    words = ["the king ruled", "a dog ran home", "rivers flow to the sea", "no one knows", "it was cold", "she sang"]
    sentences.write_text("\n".join(f"{first} and {second}" for first in words for second in words))
    tt.quantize(folder, out=int8, activations="dynamic", force=True)
    verdict = tt.audit(folder, int8, sentences, latency=False, memory=False)
    # The distance of two vectors of length 1 whose cosine is 0.999.
    assert verdict.gate("output_error").limit == pytest.approx(100 * math.sqrt(2 * 0.001), rel=1e-3)
    assert tt.audit(folder, int8, sentences, latency=False, memory=False, max_error=0.02).gate("output_error").limit == 2


def test_what_is_no_sentence_is_refused(encoder: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not one sentence"):
        tt.embed(encoder[0], [])
    with pytest.raises(TypeError, match="list"):
        tt.embed(encoder[0], "a sentence")
    with pytest.raises(TypeError):
        tt.embed(encoder[0], [1, 2])  # type: ignore[list-item]
    with pytest.raises(FileNotFoundError):
        tt.embed(tmp_path, ["a"])
