"""Every unlearning system by its shipped recipe, on the tiny TOFU.

    python -m benchmarks.systems [--system NAME ...] [--seeds 0 1 2]

Each command runs in a process of its own, one after the other, and each system and seed has a line
in benchmarks/results/systems.jsonl at once. What is there, of the same commands, recipes, code and
data, is not made again. The table of docs/papers.md is made of them by python docs/generate.py.
"""
