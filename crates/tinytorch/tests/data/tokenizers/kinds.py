"""Makes kinds.json beside this script: tokenizers of the kinds that published models use, hard strings, and
the ids that Hugging Face's library gives them.

    pip install tokenizers==0.23.3 && python kinds.py
"""

import json
from pathlib import Path

from tokenizers import Tokenizer

HERE = Path(__file__).parent


def bytes_to_unicode():
    printed = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    chars, extra = {b: chr(b) for b in printed}, 256
    for b in range(256):
        if b not in chars:
            chars[b] = chr(extra)
            extra += 1
    return chars


CHARS = bytes_to_unicode()
BYTES = {CHARS[b]: i for i, b in enumerate(range(256))}
VOCAB = {**BYTES, "he": 256, "ll": 257, "hell": 258, "hello": 259, "Ġw": 260, "12": 261, "'s": 262}
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "1 2", "' s"]
LEVEL = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
BARE = {**LEVEL, "use_regex": False}
PLAIN = dict(
    type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
    fuse_unk=False, byte_fallback=False, ignore_merges=False, vocab=VOCAB, merges=MERGES,
)
# Llama 3 and Qwen split a text so.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BY_SPLIT = dict(
    type="Sequence",
    pretokenizers=[dict(type="Split", pattern=dict(Regex=SPLIT), behavior="Isolated", invert=False), BARE],
)
FALLBACK = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{b:02X}>": 3 + b for b in range(256)}}
PIECES = {**FALLBACK, "▁": 259, "h": 260, "i": 261, "▁h": 262, "▁hi": 263, "é": 264, "▁▁": 265, "▁▁▁▁": 266}
LLAMA = dict(
    normalizer=dict(type="Sequence", normalizers=[
        dict(type="Prepend", prepend="▁"), dict(type="Replace", pattern=dict(String=" "), content="▁")]),
    decoder=dict(type="Sequence", decoders=[
        dict(type="Replace", pattern=dict(String="▁"), content=" "), dict(type="ByteFallback"),
        dict(type="Fuse"), dict(type="Strip", content=" ", start=1, stop=0)]),
    model={**PLAIN, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": PIECES,
           "merges": ["▁ h", "▁h i", "▁ ▁", "▁▁ ▁▁"]},
)
METASPACE = dict(type="Metaspace", replacement="▁", prepend_scheme="always", split=True)
UNIGRAM = [["<unk>", 0.0], ["▁", -2.0], ["▁a", -1.0], ["b", -2.0], ["he", -2.5], ["l", -3.0], ["o", -3.1],
           ["hello", -4.0], ["▁hello", -3.9], ["é", -5.0], ["1", -3.0], ["12", -3.5], [".", -2.2]]
WORDS = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "hello": 4, "##s": 5, "he": 6, "##llo": 7, "1": 8,
         "##2": 9, ".": 10, "a": 11, "b": 12, "'": 13, "s": 14, "ﬁ": 15, "fi": 16, "e": 17}


def token(id, content, special=True, single_word=False, normalized=False):
    return dict(id=id, content=content, single_word=single_word, lstrip=False, rstrip=False,
                normalized=normalized, special=special)


KINDS = dict(
    ignore_merges=dict(model={**PLAIN, "ignore_merges": True, "vocab": {**VOCAB, "world": 263}}, pre_tokenizer=LEVEL, decoder=LEVEL),
    llama3=dict(
        model={**PLAIN, "ignore_merges": True}, pre_tokenizer=BY_SPLIT, decoder=LEVEL, added_tokens=[token(263, "<|begin|>")],
        post_processor=dict(type="Sequence", processors=[BARE, dict(
            type="TemplateProcessing",
            single=[dict(SpecialToken=dict(id="<|begin|>", type_id=0)), dict(Sequence=dict(id="A", type_id=0))],
            pair=[dict(Sequence=dict(id="A", type_id=0)), dict(Sequence=dict(id="B", type_id=1))],
            special_tokens={"<|begin|>": dict(id="<|begin|>", ids=[263], tokens=["<|begin|>"])})])),
    qwen2=dict(model=PLAIN, normalizer=dict(type="NFC"), pre_tokenizer=BY_SPLIT, decoder=LEVEL,
               added_tokens=[token(263, "<|endoftext|>"), token(264, "<think>", special=False)]),
    smollm=dict(model=PLAIN, pre_tokenizer=dict(type="Sequence", pretokenizers=[
        dict(type="Digits", individual_digits=True), LEVEL]), decoder=LEVEL),
    llama2=LLAMA,
    mistral={**LLAMA, "normalizer": None, "pre_tokenizer": dict(
        type="Metaspace", replacement="▁", prepend_scheme="first", split=False)},
    t5=dict(model=dict(type="Unigram", unk_id=0, vocab=UNIGRAM, byte_fallback=False),
            pre_tokenizer=dict(type="Sequence", pretokenizers=[dict(type="WhitespaceSplit"), METASPACE]), decoder=METASPACE),
    xlm_roberta=dict(
        model=dict(type="Unigram", unk_id=0, vocab=UNIGRAM, byte_fallback=False),
        normalizer=dict(type="Sequence", normalizers=[dict(type="NFKC"), dict(
            type="Replace", pattern=dict(Regex=" {2,}"), content=" ")]),
        pre_tokenizer=METASPACE, decoder=METASPACE),
    unigram_bytes=dict(
        model=dict(type="Unigram", unk_id=0, vocab=UNIGRAM + [[f"<0x{b:02X}>", -9.0] for b in range(256)], byte_fallback=True),
        pre_tokenizer=METASPACE, decoder=dict(type="Sequence", decoders=[dict(type="ByteFallback"), METASPACE])),
    roberta=dict(model={**PLAIN, "vocab": {**VOCAB, "<s>": 263, "</s>": 264}}, pre_tokenizer=LEVEL, decoder=LEVEL,
                 post_processor=dict(type="RobertaProcessing", sep=["</s>", 264], cls=["<s>", 263],
                                     trim_offsets=True, add_prefix_space=False)),
    single_word=dict(model=PLAIN, pre_tokenizer=LEVEL, decoder=LEVEL,
                     added_tokens=[token(263, "foo", special=False, single_word=True, normalized=True)]),
    holes=dict(model={**PLAIN, "vocab": {**VOCAB, "zz": 300}}, pre_tokenizer=LEVEL, decoder=LEVEL),
    wordlevel=dict(model=dict(type="WordLevel", vocab={"[UNK]": 0, "hello": 1, "world": 2, ".": 3}, unk_token="[UNK]"),
                   pre_tokenizer=dict(type="Whitespace")),
    wordpiece=dict(
        model=dict(type="WordPiece", unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100, vocab=WORDS),
        normalizer=dict(type="Sequence", normalizers=[dict(type="NFKD"), dict(type="StripAccents"), dict(type="Lowercase")]),
        pre_tokenizer=dict(type="Sequence", pretokenizers=[dict(type="WhitespaceSplit"), dict(type="Punctuation", behavior="Isolated")]),
        post_processor=dict(type="BertProcessing", sep=["[SEP]", 3], cls=["[CLS]", 2]),
        decoder=dict(type="WordPiece", prefix="##", cleanup=True)),
)

PARTS = [
    "", " ", "  ", "\n", "\r\n", "\t", "hello", "Hello", "HELLO", "hellos", "world", "hi", "fi", "he", "12", "123", "1,234.5",
    "it's", "IT'S", "don't", "a", "b", "foo", "foobar", ".", "...", "!?", "(a)", "é", "e\u0301", "ﬁ", "Å", "ß", "İ", "東京", "Ελλάδα",
    "снег", "שלום", "مرحبا", "हिन्दी", "👋", "👨‍👩‍👧", "\u00a0", "\u3000", "\u200d", "\ufeff", "\u0000", "\u007f", "½", "①", "𝒳",
    "<s>", "</s>", "<unk>", "<0x0A>", "<|begin|>", "<|endoftext|>", "<think>", "▁", "▁hi", "Ġw", "zz", "_x_", "https://a.b/c?d=1",
    "\u2028", "\u0085", "\u1680", "a\u0300\u0316", "ⅷ", "㎏", "ｈｅ", "…", "--", "\\n", "\"", "{}", "x" * 40,
]


def strings():
    out, state = list(PARTS), 1
    while len(out) < 240:
        parts = []
        for _ in range(2 + len(out) % 4):
            state = (state * 1664525 + 1013904223) % 2**32
            parts.append(PARTS[(state >> 8) % len(PARTS)])
            if state >> 30:
                parts.append(" ")
        out.append("".join(parts))
    return out


def main():
    texts, kinds = strings(), {}
    for name, parts in KINDS.items():
        file = dict(version="1.0", truncation=None, padding=None, added_tokens=[], normalizer=None,
                    pre_tokenizer=None, post_processor=None, decoder=None)
        file.update(parts)
        tokenizer = Tokenizer.from_str(json.dumps(file))
        ids = [tokenizer.encode(text).ids for text in texts]
        decoded = [tokenizer.decode(row) for row in ids]
        kinds[name] = dict(file=file, ids=ids, decoded=decoded)
    text = json.dumps(dict(texts=texts, kinds=kinds), separators=(",", ":"), ensure_ascii=True)
    (HERE / "kinds.json").write_text(text + "\n")


main()
