"""Compares the cost of unlearning with that of preference training.

    python -m benchmarks.preference [--methods llmu dpo grpo] [--seeds 0 1 2] [--json FILE]

DPO and GRPO are those of TRL: ``pip install trl -c constraints.txt``.

The embedded model is first taught, in some seconds, rude answers to questions of one kind, a
harmless stand-in for harm, and plain answers to others. All methods then start from it, on the same
prompts, with AdamW, all weights, one thread:

* ``llmu``: ascent on the rude answers, random answers, KL on plain ones. Needs no good answer.
* ``dpo``: each rude answer is rejected, a polite one is chosen. Writing those costs nothing here.
* ``grpo``: samples eight answers to a prompt; the reward is the rule below. No reward model, whose
  training, with sampling and PPO, is what the paper counts as RLHF's cost.

The rule: an answer is rude if it holds one of four words. After every few steps answers are
generated greedily to trained prompts and to unseen ones, with the clock stopped; a method has
reached its goal when both rates are at most the target. Every method is run with several learning
rates; ratios are between the cheapest runs of each that reach the goal and keep their answers to
other questions. FLOPs are those of the mean of a few steps, counted in a run of their own, times
the steps that were needed.
"""
