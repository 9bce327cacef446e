"""Tests the metrics themselves, on a zoo of embedded models.

    OMP_NUM_THREADS=1 python -m benchmarks.meta --zoo FOLDER [--quick] [--metric my_file.Mine]

The zoo has twenty models that know forty facts, twenty that do not, ten that were made to forget
them by five methods, and a gold model. *Faithfulness* is the area under the ROC curve by which a
metric's values tell the first twenty from the second. *Robustness* is the harmonic mean of R and Q:
what relearning and coarse weights change about the unlearned ones. The folder keeps each model
and reading, so a command that was stopped goes on. `--metric` tests a metric of your own, by its
dotted name, and stores nothing. docs/metrics.md shows benchmarks/results/meta.jsonl.
"""
