"""Small tokenizers of many kinds, trained on a few lines."""

from __future__ import annotations

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

LINES = [
    "Ada rows to the island at dawn, and the ferry waits.",
    "Who rows to the island? Ada does; the tag is <b>bold</b>, the end is near.",
    "Say it once more: the ferry waits at the island.\nThen it leaves [as always] for the sea.",
]
SPECIAL = ["<unk>", "<s>", "</s>"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _fast(tokenizer: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def byte_bpe() -> PreTrainedTokenizerBase:
    """GPT-like; the marks of turns are added tokens that are not special."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator(LINES, trainer)
    found = _fast(bpe, eos_token="<|endoftext|>")
    found.add_tokens(
        [AddedToken(t, normalized=False) for t in ("<|im_start|>", "<|im_end|>", "<think>")]
    )
    found.chat_template = CHATML
    return found


def _sentencepiece_bpe() -> Tokenizer:
    bpe = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    bpe.decoder = decoders.Metaspace(prepend_scheme="first")
    return bpe


def prepended_bpe() -> PreTrainedTokenizerBase:
    """Llama-2-like: the normaliser puts a space before the text, and sees control tokens too."""
    bpe = _sentencepiece_bpe()
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokens = [AddedToken(t, normalized=True, special=True) for t in SPECIAL]
    trainer = trainers.BpeTrainer(vocab_size=250, special_tokens=tokens, show_progress=False)
    bpe.train_from_iterator(LINES, trainer)
    return _fast(bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def metaspace_bpe() -> PreTrainedTokenizerBase:
    """Mistral-like."""
    bpe = _sentencepiece_bpe()
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    trainer = trainers.BpeTrainer(vocab_size=250, special_tokens=SPECIAL, show_progress=False)
    bpe.train_from_iterator(LINES, trainer)
    return _fast(bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def unigram() -> PreTrainedTokenizerBase:
    """SentencePiece-like: control tokens are pieces of the vocabulary that text could match."""
    model = Tokenizer(models.Unigram())
    model.normalizer = normalizers.NFKC()
    model.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    model.train_from_iterator(LINES, trainer)
    return _fast(model, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def word_piece() -> PreTrainedTokenizerBase:
    """BERT-like, without case."""
    model = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    model.normalizer = normalizers.BertNormalizer(lowercase=True)
    model.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    model.train_from_iterator(LINES, trainer)
    return _fast(
        model, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
        mask_token="[MASK]", eos_token="[SEP]",
    )  # fmt: skip


def in_python() -> PreTrainedTokenizerBase:
    """Without a backend in Rust: a token a byte."""
    return ByT5Tokenizer()


KINDS = {
    f.__name__: f for f in (byte_bpe, prepended_bpe, metaspace_bpe, unigram, word_piece, in_python)
}
