"""Makes the models of SentencePiece in this folder, and golden.json: the ids and the texts that SentencePiece
itself gives for the hard strings of ../tokenizers/kinds.json.

    pip install sentencepiece==0.2.3 protobuf && python make.py
"""

import json
from pathlib import Path

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as messages

HERE = Path(__file__).parent
TEXTS = json.loads((HERE / "../tokenizers/kinds.json").read_text())["texts"]
CORPUS = (HERE / "../tokenizers/corpus.txt").read_text().splitlines() + [
    "東京 снег Ελλάδα é ß 12 123 hello world", "hello hello world hi hi he fi ﬁ 1,234.5 it's don't",
]
# A map of characters as SentencePiece's own, with what such maps do: longer and shorter strings, nothing, a
# blank, and several characters at once.
RULES = {"ﬁ": "fi", "①": "1", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\u200d": "", "\ufeff": "",
         "e\u0301": "é", "Å": "A\u030a", "㎏": "kg", "…": "...", "İ": "i\u0307", "H": "h", "HEL": "he! l", "½": "1⁄2"}
USUAL = dict(vocab_size=150, model_type="unigram", hard_vocab_limit=False, character_coverage=1.0)
BYTES = dict(byte_fallback=True, character_coverage=0.98)
KINDS = dict(
    unigram=dict(USUAL, normalization_rule_tsv="rules.tsv"),
    unigram_bytes=dict(USUAL, **BYTES | dict(vocab_size=420), normalization_rule_name="identity",
                       remove_extra_whitespaces=False, user_defined_symbols=["<think>", "12", "foo", "▁hi"]),
    bpe_llama=dict(USUAL, model_type="bpe", **BYTES | dict(vocab_size=420), normalization_rule_name="identity",
                   remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True),
    bpe_symbols=dict(USUAL, model_type="bpe", normalization_rule_tsv="rules.tsv", add_dummy_prefix=False,
                     user_defined_symbols=["<think>", "12", "foo", "a"], pad_id=3, bos_id=-1),
)


def read(name):
    model = messages.ModelProto()
    model.ParseFromString((HERE / f"{name}.model").read_bytes())
    return model


def without_paths(name):
    """The trainer notes where it was run."""
    model = read(name)
    model.trainer_spec.ClearField("model_prefix")
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    (HERE / f"{name}.model").write_bytes(model.SerializeToString())


def unused(name, every):
    """The model with some of its longer pieces marked as not to be used."""
    model = read(name)
    longer = [p for p in model.pieces if p.type == p.NORMAL and 1 < len(p.piece) < 5]
    for piece in longer[::every]:
        piece.type = piece.UNUSED
    (HERE / f"{name}_unused.model").write_bytes(model.SerializeToString())


def main():
    rules = HERE / "rules.tsv"
    code = lambda text: " ".join(f"{ord(c):X}" for c in text)
    rules.write_text("".join(f"{code(a)}\t{code(b)}\n" for a, b in RULES.items()))
    for name, settings in KINDS.items():
        if "normalization_rule_tsv" in settings:
            settings["normalization_rule_tsv"] = str(rules)
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS), model_prefix=str(HERE / name), minloglevel=2, **settings)
        (HERE / f"{name}.vocab").unlink()
        without_paths(name)
    rules.unlink()
    unused("unigram", 2)
    unused("bpe_llama", 3)
    golden = {}
    for path in sorted(HERE.glob("*.model")):
        tokenizer = spm.SentencePieceProcessor(model_file=str(path))
        ids = [tokenizer.encode(text) for text in TEXTS]
        golden[path.stem] = dict(begin=tokenizer.bos_id(), ids=ids, decoded=[tokenizer.decode(row) for row in ids])
    (HERE / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


main()
