"""What brings a forgotten text back, on the unlearned model and on one that never knew it."""

from unlearnkit.attacks.kept import Attack, Kept, Prepared, attack_and_keep, read_attack
from unlearnkit.attacks.logit_lens import logit_lens
from unlearnkit.attacks.measuring import Split, benign_split, measure, split_rows
from unlearnkit.attacks.paraphrase import PASSAGES, QUESTIONS, reworded
from unlearnkit.attacks.prompting import fewshot, paraphrase, prefix
from unlearnkit.attacks.quantize import quantize
from unlearnkit.attacks.relearn import relearn

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
