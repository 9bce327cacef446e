"""Writes what a version leaves on disk into an archive, for tests that later versions read it.

Run once for a version, by the code of that version:

    PYTHONPATH=<its checkout> python tests/cli/stored/make.py 0.1.0

The archive holds paths of all registered classes, recipes, a finished run with an evaluation, an
attack and a checkpoint, a run in phases whose second phase is missing, and a model of each edit.
``FOLDER`` in its JSON files stands for the folder that it is unpacked to.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
PLACEHOLDER = "FOLDER"
STAMP = "2026-11-28_12-00-00"
RUN = f"runs/recipe/{STAMP}"
ROWS = {
    "forget": ["ab cd", "ba ee", "cd da"],
    "retain": ["ca ab", "da ba", "ea cab", "aa bc"],
}
SUITE = (
    "{name: copyright, limit: 2, max_new_tokens: 2, prompt_tokens: 4, normal: retain.jsonl, "
    "heldout: retain.jsonl, neighbour: retain.jsonl}"
)
COMMON = """\
seed_everything: 7
model:
  base: base
  lora: {r: 1, target_modules: [q_proj]}
  optimizer: {name: AdamW, lr: 1.0e-2}
"""
RECIPE = f"""\
{COMMON}\
  objectives:
    forget: {{name: npo, beta: 0.2}}
    mismatch: {{name: random_mismatch, weight: 0.5}}
    idk: {{weight: 0.25}}
    retain: {{name: retain_kl}}
data:
  batch_size: 2
  max_length: 64
  streams:
    forget: {{name: text, path: forget.jsonl, prompt_tokens: 4}}
    mismatch: {{prompts: forget, answers: retain, per_prompt: 1}}
    idk: {{prompts: forget}}
    retain: {{name: qa, path: retain.jsonl}}
trainer:
  max_steps: 2
  max_epochs: -1
  accelerator: cpu
  enable_progress_bar: false
  callbacks:
    - {{name: collapse_stop, forget_nll: 50.0}}
    - {{name: evaluate_every, steps: 2, limit: 1}}
    - {{class_path: ModelCheckpoint, init_args: {{every_n_train_steps: 1, save_top_k: -1}}}}
evaluate:
  - {SUITE}
  - name: requests
    streams: {{first: {{name: text, path: forget.jsonl, prompt_tokens: 4}}}}
    normal: {{name: qa, path: retain.jsonl}}
    heldout: {{name: qa, path: retain.jsonl}}
    limit: 2
    max_new_tokens: 2
gold: gold
"""
PHASES = f"""\
{COMMON}\
data:
  batch_size: 2
  max_length: 64
  streams:
    forget: {{name: qa, path: forget.jsonl}}
    retain: {{name: qa, path: retain.jsonl}}
trainer: {{max_steps: 1, max_epochs: -1, accelerator: cpu, enable_progress_bar: false}}
phases:
  - {{name: ascent, model: {{objectives: {{forget: {{name: gradient_ascent}}}}}}}}
  - {{name: repair, model: {{objectives: {{retain: {{name: retain_nll}}}}}}}}
"""
EDITS = {
    "offset": ("--small_tuned", "gold", "--small", "base", "--alpha", "0.5"),
    "uld": ("--assistant", "gold"),
    "whp": ("--reinforced", "gold"),
    "erase": ("--examples", "retain.jsonl", "--k", "2"),
    "o3": ("--adapter", RUN),
    "negate": ("--tuned", "gold", "--scale", "0.5"),
}


def command(*words: str) -> str:
    """Runs ``unlearnkit`` here and gives what it printed."""
    from unlearnkit.cli.main import main

    shown = StringIO()
    with mock.patch.object(sys, "argv", ["unlearnkit", *words]), redirect_stdout(shown):
        assert main() == 0, words
    return shown.getvalue()


def class_paths() -> dict[str, dict[str, str]]:
    """Where each registered class is, by family and name."""
    from unlearnkit.callbacks import NamedCallback
    from unlearnkit.data import Stream
    from unlearnkit.objectives import Objective
    from unlearnkit.suites import Suite

    roots = {"objective": Objective, "stream": Stream, "callback": NamedCallback, "suite": Suite}
    return {
        word: {name: f"{c.__module__}.{c.__qualname__}" for name, c in root.registered().items()}
        for word, root in roots.items()
    }


def make() -> None:
    """Fills the working directory."""
    from stub import save_stub

    Path("class_paths.json").write_text(json.dumps(class_paths(), indent=2) + "\n")

    for seed, name in enumerate(("base", "gold"), 1):
        save_stub({"random_init": seed, "layers": 1}, Path(name))
    for name, texts in ROWS.items():
        rows = [{"prompt": t[:2], "response": t[3:], "text": t * 3} for t in texts]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in (("recipe", RECIPE), ("phases", PHASES)):
        Path("mine.yaml").write_text(text)
        Path(f"{name}.yaml").write_text(command("fit", "-r", "mine.yaml", "--print_recipe"))
        command("fit", "-r", f"{name}.yaml")
        (run,) = Path("runs", name).iterdir()
        run.rename(run.with_name(STAMP))
    command("evaluate", RUN, "--suite", SUITE, "--device", "cpu")
    command("attack", RUN, "prefix", "--limit", "2")
    for edit, words in EDITS.items():
        command("edit", edit, "--base", "base", *words, "--out", f"models/{edit}")


def kept(file: Path) -> bool:
    """Whether a file belongs into the archive: pages are made anew, and the last phase is to be."""
    unfinished = Path("runs", "phases", STAMP)
    return not (
        file == Path("mine.yaml")
        or file.name == "report.html"
        or file.name.endswith("step=2.ckpt")
        or unfinished / "repair" in file.parents
        or file in (unfinished / "summary.json", unfinished / "rows.jsonl")
    )


def main() -> None:
    """Makes the archive of the version that the command line names."""
    target = HERE / f"{sys.argv[1]}.zip"
    with tempfile.TemporaryDirectory() as made:
        os.chdir(made)
        make()
        with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as archive:
            for file in filter(kept, sorted(p for p in Path().rglob("*") if p.is_file())):
                content = file.read_bytes()
                if file.suffix == ".json":
                    content = content.replace(made.encode(), PLACEHOLDER.encode())
                archive.writestr(zipfile.ZipInfo(str(file)), content, zipfile.ZIP_DEFLATED)
        os.chdir(HERE)


if __name__ == "__main__":
    main()
