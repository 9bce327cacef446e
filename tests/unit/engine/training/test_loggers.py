"""Loggers that the user chose, beside the run's own."""

import csv
import importlib
import json
import time
from pathlib import Path

import lightning as L
import pytest
from lightning.pytorch.loggers import CSVLogger
from processes import PATIENCE

from unlearnkit.engine.training.loggers import given_loggers, send_facts, send_metrics

RECIPE = """\
model:
  base: tiny
  objectives: {{forget: {{name: gradient_ascent}}}}
data:
  streams:
    forget: {{name: qa, path: rows.jsonl}}
    retain: {{name: qa, path: kept.jsonl}}
trainer: {{max_steps: 2, accelerator: cpu, log_every_n_steps: 1, logger: {logger}}}
evaluate: [{{name: copyright}}]
"""


@pytest.fixture
def fitted(tmp_path, monkeypatch, capsys):
    """Runs a recipe with a logger; gives the run folder and what was said."""

    def fit(logger):
        from unlearnkit.cli.main import main

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")
        rows = [{"prompt": p, "response": r} for p, r in (("Who is it", "Ann Lee"), ("A", "b"))]
        Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        kept = [{"prompt": p, "response": r} for p, r in (("Where is it", "Here"), ("C", "d"))]
        Path("kept.jsonl").write_text("\n".join(map(json.dumps, kept)))
        Path("r.yaml").write_text(RECIPE.format(logger=logger))
        code = main(["fit", "-r", "r.yaml"])
        said = capsys.readouterr().err
        folder = max(Path("runs/r").iterdir()) if code == 0 else None
        return code, folder, " ".join(said.replace("│", " ").split())

    return fit


def read(file):
    with Path(file).open() as table:
        return list(csv.DictReader(table))


@pytest.mark.parametrize(
    "logger",
    [
        "{name: CSVLogger, save_dir: mylogs, name_of: x}",
        "{name: csv, save_dir: mylogs}",
        "[{name: csv, save_dir: mylogs}]",
        "{class_path: lightning.pytorch.loggers.CSVLogger, "
        "init_args: {save_dir: mylogs, name: csv}}",
    ],
)
def test_a_logger_logs_beside_metrics_csv(fitted, logger):
    if "name_of" in logger:
        code, _, said = fitted(logger)
        assert (code, "trainer.logger.name_of" in said) == (2, True)
        return
    code, folder, said = fitted(logger)
    assert code == 0, said
    own = read(folder / "metrics.csv")
    (made,) = Path("mylogs/csv").iterdir()
    theirs = read(made / "metrics.csv")
    trained = [row for row in theirs if row["train/loss"]]
    assert [row["train/loss"] for row in trained] == [row["train/loss"] for row in own]
    summary = json.loads((folder / "summary.json").read_text())["suites"]["copyright"]
    for stage, step in (("before", "0"), ("after", "2")):
        key = f"{stage}/copyright/forget/nll"
        (sent,) = [row for row in theirs if row.get(key)]
        assert float(sent[key]) == pytest.approx(summary[stage]["forget/nll"])
        assert sent["step"] == step
    assert f"report: {folder / 'report.html'}" in (made / "hparams.yaml").read_text()


def test_false_is_no_logger_and_an_unknown_one_is_refused(fitted):
    assert fitted("false")[0] == 0
    code, _, said = fitted("{name: tensorbord}")
    assert (code, "Did you mean 'tensorboard'?" in said) == (2, True)
    code, _, said = fitted("{save_dir: x}")
    assert (code, "no name; give {name: ...}" in said) == (2, True)


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "tensorboard"), ("wandb", "wandb"), ("mlflow", "mlflow")]
)
def test_a_missing_package_names_its_extra(fitted, monkeypatch, name, module):
    from unlearnkit.cli.recipe import loggers

    monkeypatch.setattr(loggers, "find_spec", lambda _: None)
    code, _, said = fitted(f"{{name: {name}}}")
    assert code == 2
    assert f"the logger {name} needs the package {module}, which is not installed" in said
    assert f"pip install 'unlearnkit[{name}]'" in said


def test_lightnings_own_default_is_no_choice(tmp_path):
    unasked = L.Trainer(default_root_dir=tmp_path, accelerator="cpu", enable_progress_bar=False)
    assert len(unasked.loggers) == 1
    assert given_loggers(unasked) == []
    chosen = CSVLogger(tmp_path / "mine")
    asked = L.Trainer(default_root_dir=tmp_path, accelerator="cpu", logger=chosen)
    assert given_loggers(asked) == [chosen]


class Failing(CSVLogger):
    def log_metrics(self, metrics, step=None):
        raise ConnectionError("no route to host")

    log_hyperparams = log_metrics


def test_a_service_that_fails_ends_no_run(tmp_path, caplog):
    failing, well = Failing(tmp_path / "a"), CSVLogger(tmp_path / "b", name="", version="")
    send_metrics([failing, well], "after", {"s": {"forget/nll": 1.5, "forget/none": None}}, 3)
    send_facts([failing, well], tmp_path, None)
    assert "Failing: ConnectionError: no route to host" in caplog.text
    (row,) = read(tmp_path / "b" / "metrics.csv")
    assert row == {"step": "3", "after/s/forget/nll": "1.5"}


@pytest.mark.extra("tensorboard")
def test_tensorboard_files_are_read_back(fitted):
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    code, folder, said = fitted("{name: tensorboard}")
    assert code == 0, said
    (made,) = Path("runs/tensorboard").iterdir()
    events = reader.EventAccumulator(str(made))
    events.Reload()
    losses = [each.value for each in events.Scalars("train/loss")]
    assert losses == pytest.approx(
        [float(row["train/loss"]) for row in read(folder / "metrics.csv")]
    )
    (picture,) = events.Images("forgetting against utility")
    assert picture.width > picture.height > 100
    (after,) = events.Scalars("after/copyright/forget/nll")
    summary = json.loads((folder / "summary.json").read_text())["suites"]["copyright"]
    assert (after.step, after.value) == (2, pytest.approx(summary["after"]["forget/nll"]))


@pytest.mark.extra("wandb")
def test_wandb_in_its_offline_mode(fitted, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    code, _, said = fitted("{name: wandb, project: p, offline: true}")
    assert code == 0, said
    importlib.import_module("wandb").finish()  # as its own hook does when the process ends
    (made,) = Path("wandb").glob("offline-run-*")
    (file,) = made.glob("*.wandb")
    end = time.monotonic() + PATIENCE
    while b"run_folder" not in file.read_bytes() and time.monotonic() < end:
        time.sleep(0.2)  # another process writes it
    content = file.read_bytes()
    assert b"after/copyright/forget/nll" in content
    assert b"run_folder" in content


@pytest.mark.extra("mlflow")
def test_mlflow_in_a_local_database(fitted):
    code, folder, said = fitted("{name: mlflow}")
    assert code == 0, said
    client = importlib.import_module("mlflow.tracking").MlflowClient("sqlite:///mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("lightning_logs").experiment_id])
    summary = json.loads((folder / "summary.json").read_text())["suites"]["copyright"]
    sent = run.data.metrics
    assert sent["after/copyright/forget/nll"] == pytest.approx(summary["after"]["forget/nll"])
    assert sent["train/loss"] == pytest.approx(
        float(read(folder / "metrics.csv")[-1]["train/loss"])
    )
    assert run.data.params["run_folder"] == str(folder)
