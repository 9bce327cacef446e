"""What brings a forgotten text back, on the unlearned model and on one that never knew it."""

from unlearnkit.runs.attack.kept import Attack, Kept, Prepared, attack_and_keep, read_attack
from unlearnkit.runs.attack.layers import logit_lens
from unlearnkit.runs.attack.measuring import Split, benign_split, measure, split_rows
from unlearnkit.runs.attack.prompting import fewshot, paraphrase, prefix
from unlearnkit.runs.attack.quantizing import quantize
from unlearnkit.runs.attack.relearning import relearn
from unlearnkit.runs.attack.wording import PASSAGES, QUESTIONS, reworded

__all__ = [
    "PASSAGES",
    "QUESTIONS",
    "Attack",
    "Kept",
    "Prepared",
    "Split",
    "attack_and_keep",
    "benign_split",
    "fewshot",
    "logit_lens",
    "measure",
    "paraphrase",
    "prefix",
    "quantize",
    "read_attack",
    "relearn",
    "reworded",
    "split_rows",
]
