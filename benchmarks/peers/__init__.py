"""Losses of other repositories and ours on the same model and data.

    python -m benchmarks.peers CHECKOUT [--losses NAME ...] [--models tiny R ...] [--batch 4]
                              [--keep ours|both|neither] [--quick] [--json FILE]

CHECKOUT is a folder of your disk that holds open-unlearning (locuslab) or llm_unlearn
(kevinyaobytedance), as ``git clone`` leaves it. Nothing of either is part of this package: the
losses are imported from the folder, so its code is run. What it imports but a loss has no use for
(omegaconf, deepspeed) may be absent; whatever else is missing is named.

Each side trains in a process of its own, one thread, with the same AdamW, for a few steps:

* ``CPU``: process CPU time of loss and backward pass, of all steps but the first; median over
  rounds, in each of which both sides run, in an order that is drawn. Packing is part of our time;
  padding rows for the other loss is not part of theirs. Our process keeps the memory that it frees,
  as `fit` on a CPU has it, and theirs gives it back, as the C library does by itself; ``--keep``
  has both do the one or the other.
* ``FLOPs``: operations of loss and backward pass of the first step; multiply and add are two.
* ``memory``: peak of the steps above what was resident before the first, in MiB.
* ``loss gap``: ours less theirs before the first update, over theirs where that is above 1. 0 says
  that both compute the same; anything else, that their definitions differ.
* ``forget``, ``retain``: negative log-likelihood per response token after the last step, over all
  rows that were drawn, measured alike on both sides.
"""

from __future__ import annotations

SIDES = ("ours", "theirs")
MODELS = ("tiny", "S", "R", "V")
"""The embedded model, and the random ones of `benchmarks.step`."""
KEEP = ("ours", "both", "neither")
