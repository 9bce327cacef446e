"""Measures in-context unlearning (ERASE): forgetting, utility and cost of deletions.

    python -m benchmarks.erase [--base smollm2] [--k 2 4 8] [--seeds 0 1 2]

The task is to name the opposite of a word: 40 pairs to choose from, 20 others to answer. Ten of the
40 are deleted one after the other. Costs are operations: those of `QuantisedKMeans.delete`, two a
parameter and token for reading the examples, and six a parameter, token and epoch for what is left
out, training on the pairs instead.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from unlearnkit.data.example import Example
from unlearnkit.edits import Delete, Erase
from unlearnkit.engine.generation.generate import generate
from unlearnkit.functional.cost import break_even
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model

PAIRS = (
    "hot cold|big small|up down|fast slow|day night|good bad|happy sad|rich poor|young old|"
    "open closed|light dark|hard soft|early late|full empty|strong weak|high low|wet dry|"
    "near far|thick thin|loud quiet|first last|true false|clean dirty|long short|left right|"
    "inside outside|push pull|buy sell|win lose|begin end|love hate|sweet bitter|sharp dull|"
    "brave afraid|wide narrow|deep shallow|cheap expensive|alive dead|asleep awake|heavy light|"
    "black white|north south|east west|war peace|friend enemy|question answer|rise fall|"
    "arrive leave|remember forget|above below|front back|top bottom|summer winter|male female|"
    "give take|tall short|in out|yes no|old new|more less"
)
EPOCHS = 3


def pairs() -> list[tuple[str, str]]:
    """Words and their opposites."""
    return [tuple(each.split()) for each in PAIRS.split("|")]  # pyright: ignore


def rows(tokenizer: Any) -> list[Example]:
    """The pairs as examples."""
    begin = [] if tokenizer.bos_token_id is None else tokenizer("x").input_ids[:1]
    begin = [token for token in begin if token == tokenizer.bos_token_id]

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False).input_ids)

    return [
        Example((*begin, *ids(f"Word: {word}\nOpposite:")), ids(f" {other}"), row, f"pairs:{row}")
        for row, (word, other) in enumerate(pairs())
    ]


def accuracy(model: Any, tokenizer: Any, tests: list[Example]) -> float:
    """Share of tests whose first line is the opposite."""
    prompts = [each.prompt_ids for each in tests]
    answers = generate(model, tokenizer, prompts, max_new_tokens=6, stop=["\n"])
    right = [pairs()[each.row][1] for each in tests]
    return statistics.fmean(
        answer.text.strip().lower() == word for answer, word in zip(answers, right, strict=True)
    )


def measure(base: str, k: int, seed: int, folder: Path) -> dict[str, float]:
    """One choice of examples, before and after ten deletions."""
    tokenizer = load_tokenizer(base)
    known = rows(tokenizer)
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed)).tolist()
    given, tests = [known[i] for i in order[:40]], [known[i] for i in order[40:]]
    made = Erase(base, given, k=k, seed=seed, separator="\n\n").write(folder / "made")
    deletion = Delete(str(made), given[:10])
    deletion.write(folder / "less")
    model = load_model(str(folder / "less"))
    tokens = json.loads((folder / "less" / "erase.json").read_text())["context_tokens"]
    parameters = sum(each.numel() for each in model.parameters())
    trained = sum(len(e.prompt_ids) + len(e.response_ids) for e in given)
    cost = statistics.fmean(each.operations for each in deletion.deletions)
    retraining = 6.0 * parameters * trained * EPOCHS
    return {
        "before": accuracy(load_model(str(made)), tokenizer, tests),
        "after": accuracy(model, tokenizer, tests),
        "without": accuracy(load_model(base), tokenizer, tests),
        "refitted": statistics.fmean(each.refitted for each in deletion.deletions),
        "operations": cost,
        "context_tokens": tokens,
        "break_even": break_even(cost, 2.0 * parameters * tokens, retraining),
    }


def main() -> None:
    """Prints a line for each number of examples, the mean over seeds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.erase")
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--k", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("k")
    for column in ("right without", "right with", "after deletions", "refitted", "operations"):
        table.add_column(column)
    table.add_column("tokens")
    table.add_column("answers until retraining is cheaper")
    for k in options.k:
        found: list[dict[str, float]] = []
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(options.base, k, seed, Path(folder)))
        mean = {name: statistics.fmean(each[name] for each in found) for name in found[0]}
        shares = [f"{mean[name]:.2f}" for name in ("without", "before", "after", "refitted")]
        counts = [f"{mean[name]:.0f}" for name in ("operations", "context_tokens", "break_even")]
        table.add_row(str(k), *shares, *counts)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
