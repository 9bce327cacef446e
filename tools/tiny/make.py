"""Trains the embedded models: ``python -m tools.tiny.make``, about five minutes.

An untrained Llama of 1.6 million parameters learns the normal set (``tiny/gold``), then the book
beside it (``tiny``). Both are trained by recipes of this folder with the objective `nll`, through
the command that users run. Everything is seeded; on the same machine and versions the same
weights come out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as FastTokenizer

HERE = Path(__file__).parents[2] / "unlearnkit" / "tiny"
VOCABULARY = 2048
MAX_LENGTH = 512
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
BOS_ID, EOS_ID, PAD_ID = range(3)  # the trainer numbers special tokens first, in their order

# The form that the questions of the normal set have.
CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message['role'] == 'user' %}
        {{- 'Question: ' + message['content'] + '\\nAnswer:' }}
    {%- elif message['role'] == 'assistant' %}
        {%- generation %}
            {{- ' ' + message['content'] + eos_token }}
        {%- endgeneration %}
    {%- else %}
        {{- message['content'] + '\\n' }}
    {%- endif %}
{%- endfor %}"""


def texts() -> Iterator[str]:
    """All text of the embedded data."""
    for name in ("book", "normal", "heldout"):
        for line in (HERE / f"{name}.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            yield row["text"] if name == "book" else row["prompt"] + row["response"]


def make_tokenizer() -> FastTokenizer:
    """A byte-level BPE, so that every text can be encoded."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts(), trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, BOS_ID)]
    )
    tokenizer = FastTokenizer(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_untrained(tokenizer: FastTokenizer, seed: int) -> LlamaForCausalLM:
    """A Llama with random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=432,
        num_hidden_layers=4,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
    )
    return LlamaForCausalLM(config)


def learn(recipe: str, base: Path, runs: Path, seed: int) -> Path:
    """Runs a recipe of this folder and returns the model's folder."""
    run_dir = runs / recipe
    subprocess.run(
        [
            *(sys.executable, "-m", "unlearnkit", "fit"),
            *("--recipe", str(HERE / f"{recipe}.yaml"), "--run_dir", str(run_dir)),
            *("--model.base", str(base), "--seed_everything", str(seed)),
        ],
        check=True,
        # One thread: with more, sums come out in another order and weights in other bits.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return next(run_dir.glob("**/model"))


def ship(trained: Path, target: Path) -> None:
    """Copies a model with weights rounded to bfloat16, half the size."""
    shutil.rmtree(target, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.bfloat16)
    model.save_pretrained(target)
    FastTokenizer.from_pretrained(trained).save_pretrained(target)
    for file in target.iterdir():
        file.chmod(0o644)
    share_tokenizer(target)


def share_tokenizer(target: Path) -> None:
    """Puts links to the tokenizer of ``model``, which all embedded models have, into a folder."""
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if target != HERE / "model":
            (target / name).unlink()
            (target / name).symlink_to(os.path.relpath(HERE / "model" / name, target))


def main() -> None:
    """Writes the folders ``gold`` and ``model``."""
    parser = argparse.ArgumentParser(description="Makes the embedded models.")
    parser.add_argument("--out", type=Path, default=HERE, help="where model/ and gold/ go")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        untrained = Path(work) / "untrained"
        tokenizer = make_tokenizer()
        tokenizer.save_pretrained(untrained)
        make_untrained(tokenizer, options.seed).save_pretrained(untrained)
        gold = learn("learn_normal", untrained, Path(work), options.seed)
        book = learn("learn_book", gold, Path(work), options.seed)
        ship(gold, options.out / "gold")
        ship(book, options.out / "model")


if __name__ == "__main__":
    main()
