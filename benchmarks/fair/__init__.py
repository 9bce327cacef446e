"""Every method tuned with one budget, on the tiny TOFU with power.

    python -m benchmarks.fair [--methods NAME ...] [--trials 12] [--seeds 3] [--quick]

Trials are measured on forty forget rows in a wording of their own, results on the other rows in
wordings that neither a loss nor a trial saw. Each trial and each seed has a line in
benchmarks/results/fair.jsonl at once; what is there is not made again, so the command can be
stopped at any moment and given anew. The table of docs/fair.md is made of it by
python docs/generate.py.
"""
