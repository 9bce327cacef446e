"""The paper's three applications on SmolLM2-135M-Instruct, with ablations.

    python -m benchmarks.real                                  # all applications, methods, seeds
    python -m benchmarks.real copyright --seeds 0 --methods llmu npo
    python -m benchmarks.real --selectivity                    # variants of the method
    python -m benchmarks.real --float32                        # copyright, all models in float32
    python -m benchmarks.real --depth                          # attacks the copyright models
    python -m benchmarks.real --published FOLDER               # HaluEval and TruthfulQA, your files
    python -m benchmarks.real --tables                         # writes docs/results.md's tables

Each application is a recipe of ``recipes/smollm2``. The models that it starts from are taught once
per seed and kept in ``--cache``; each (application, method, seed) leaves a line in ``--results``
and is skipped where there is one, so a run that was stopped goes on where it was.
"""
