"""Makes the tokenizer files and the reference ids beside this script.

    pip install tokenizers==0.23.3 && python make.py
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
WORDPIECE = HERE / "wordpiece.json"
CORPUS = (HERE / "corpus.txt").read_text(encoding="utf-8")

TEXTS = [
    "",
    " ",
    "The captain's boat",
    "they don't; WE'LL, it's 40 years!",
    "  several   spaces\n\n\tand tabs \r\n",
    "Zürich Brötchen Ελλάδα снег 東京 café cafe\u0301",
    "unseen: Ωmega ☃ 🙂🙃 \u200d\ufeff \u00a0x\u3000y",
    "3.50+12^2=$147.5 `code` #77 _x_",
    "harbor" * 20,
    "lighthouse" * 11,
    "[CLS] sheet [SEP] x[MASK]y [UNK]",
    "<|endoftext|>The tide<|endoftext|> <|endoftex",
    "a\u0000b\u0007c\ufffdd",
    "<|endoftext|>",
    CORPUS,
]


def bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    return tokenizer


def wordpiece():
    if WORDPIECE.exists():
        # This trainer gives another vocabulary each time, so the file is kept once it is made.
        return Tokenizer.from_file(str(WORDPIECE))
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([CORPUS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def cases(tokenizer):
    encoded = tokenizer.encode_batch(TEXTS)
    return [
        {"text": text, "ids": e.ids, "decoded": tokenizer.decode(e.ids)}
        for text, e in zip(TEXTS, encoded)
    ]


def batches(tokenizer):
    long, short = "the captain thought it was a joke", "they sell maps"
    inputs = [[long], [short], [long, short], [short, long], [long, long]]
    truncations = [None] + [
        dict(max_length=n, strategy=strategy, direction=direction)
        for n in (7, 8, 11, 14)
        for strategy in ("longest_first", "only_first", "only_second")
        for direction in ("right", "left")
    ]
    paddings = [
        dict(),
        dict(length=16, direction="left"),
        dict(pad_to_multiple_of=8, pad_id=4, pad_type_id=1, pad_token="[MASK]"),
    ]
    made = []
    for at, truncation in enumerate(truncations):
        # Some inputs cannot be cut by the other strategies, and would spoil the whole batch.
        together = truncation is None or truncation["strategy"] == "longest_first"
        for batch in [inputs] if together else [[i] for i in inputs]:
            tokenizer.no_truncation()
            if truncation:
                tokenizer.enable_truncation(**truncation)
            tokenizer.enable_padding(**paddings[at % len(paddings)])
            settings = json.loads(tokenizer.to_str())
            case = {key: settings[key] for key in ("truncation", "padding")} | {"inputs": batch}
            try:
                encoded = tokenizer.encode_batch([i[0] if len(i) == 1 else tuple(i) for i in batch])
                case["ids"] = [e.ids for e in encoded]
                case["type_ids"] = [e.type_ids for e in encoded]
                case["attention_mask"] = [e.attention_mask for e in encoded]
            except BaseException as error:
                case["error"] = str(error)
            made.append(case)
    return made


if __name__ == "__main__":
    golden = {}
    for name, tokenizer in (("bpe", bpe()), ("wordpiece", wordpiece())):
        tokenizer.save(str(HERE / f"{name}.json"))
        golden[name] = cases(tokenizer)
        if name == "wordpiece":
            golden["batches"] = batches(tokenizer)
    text = json.dumps(golden, ensure_ascii=True)
    (HERE / "golden.json").write_text(text + "\n", encoding="utf-8")
