"""A run from start to folder, and what is left on disk when it fails (cases 24, 39)."""

from __future__ import annotations

import errno
import json
from functools import partial
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from peft import LoraConfig
from processes import run_code
from rows import FORGET, RETAIN
from safetensors.torch import load_file
from short_fits import objective, qa
from stub import save_stub

from unlearnkit import UnlearningDataModule, UnlearningModule, UserError, export, fit, load_run
from unlearnkit.callbacks.collapse_stop import TrainingDiverged
from unlearnkit.runs.folder import new_folder

LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = {"random_init": 1, "chat_template": "{{ messages }}"}
    return save_stub(spec, tmp_path_factory.mktemp("base"))


def _run(base: Path, folder: Path, run_dir: Path, *callbacks, lr: float = 1e-2, **arguments):
    trainer_arguments = arguments.pop("trainer", {})
    module = UnlearningModule(
        arguments.pop("objectives", None)
        or {"forget": objective("npo"), "retain": objective("retain_kl")},
        base=str(base),
        optimizer=partial(torch.optim.SGD, lr=lr),
        schedule="constant",
        **arguments,
    )
    data = UnlearningDataModule(
        {"forget": qa(folder / "forget.jsonl"), "retain": qa(folder / "retain.jsonl")},
        tokenizer=str(base),
        batch_size=2,
    )
    trainer = L.Trainer(
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **{"max_steps": 2, **trainer_arguments},
    )
    return module, fit(module, data, trainer, recipe_name="case", recipe_text="model: {}\n",
                       run_dir=run_dir)  # fmt: skip


LOADS_ELSEWHERE = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[1]
model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
tokenizer = AutoTokenizer.from_pretrained(folder)
logits = model.eval()(torch.tensor([[4, 5, 6, 7]])).logits
gaps = {key: sorted(map(str, info[key])) for key in ("missing_keys", "unexpected_keys")}
print(json.dumps({"logits": logits.tolist(), "template": tokenizer.chat_template, **gaps}))
"""


def _loaded_elsewhere(folder: Path) -> dict:
    return json.loads(run_code(LOADS_ELSEWHERE, str(folder)).splitlines()[-1])


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_the_model_loads_without_us(base, written, tmp_path, lora) -> None:
    module, summary = _run(base, written(forget=FORGET, retain=RETAIN), tmp_path, lora=lora)
    model = summary.folder / "model"
    found = _loaded_elsewhere(model)
    assert found["missing_keys"] == found["unexpected_keys"] == []
    assert found["template"] == "{{ messages }}"
    module.policy.eval()
    with torch.no_grad():
        logits = module.policy(torch.tensor([[4, 5, 6, 7]])).logits
    assert torch.allclose(torch.tensor(found["logits"]), logits, atol=1e-5)
    for config in model.glob("*config.json"):
        assert "unlearnkit_tree" not in config.read_text()
    files = {p.name for p in model.iterdir()}
    assert ("adapter_model.safetensors" in files) == (lora is not None)
    assert ("model.safetensors" in files) == (lora is None)
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_a_checkpoint_holds_what_is_trained_and_nothing_else(base, written, tmp_path, lora) -> None:
    _, summary = _run(
        base,
        written(forget=FORGET, retain=RETAIN),
        tmp_path,
        ModelCheckpoint(every_n_train_steps=1),
        lora=lora,
    )
    (path,) = (summary.folder / "checkpoints").glob("*.ckpt")
    keys = torch.load(path, weights_only=True)["state_dict"]
    assert keys
    assert not [key for key in keys if "reference" in key]
    assert all(("lora_" in key) == (lora is not None) for key in keys)


def test_a_merged_export_gives_the_same_logits(base, written, tmp_path) -> None:
    _, summary = _run(base, written(forget=FORGET, retain=RETAIN), tmp_path / "runs", lora=LORA)
    merged = export(summary.folder, tmp_path / "merged", merge=True)
    assert "model.safetensors" in {p.name for p in merged.iterdir()}
    one, other = _loaded_elsewhere(merged), _loaded_elsewhere(summary.folder / "model")
    assert torch.allclose(torch.tensor(one["logits"]), torch.tensor(other["logits"]), atol=1e-5)
    with pytest.raises(UserError, match="exists and is not empty"):
        export(summary.folder, merged)


def test_the_run_folder_tells_what_was_run(base, written, tmp_path) -> None:
    _, summary = _run(base, written(forget=FORGET, retain=RETAIN), tmp_path)
    run = load_run(summary.folder)
    assert run.summary["steps"] == 2
    assert set(run.summary) == {
        "recipe", "seed", "steps", "stopped_by", "seconds", "peak_memory_mb", "suites",
        "verdict",
    }  # fmt: skip
    environment = json.loads((summary.folder / "environment.json").read_text())
    assert environment["batches"]["effective_batch"] == 2
    assert set(environment["data"]) == {"forget", "retain"}
    assert all(each["fingerprint"].startswith("sha256:") for each in environment["data"].values())
    lines = (summary.folder / "metrics.csv").read_text().splitlines()
    assert "train/forget" in lines[0]
    assert "train/retain_kl" in lines[0]


def test_two_runs_never_share_a_folder(tmp_path) -> None:
    assert len({new_folder(tmp_path, "same") for _ in range(5)}) == 5


def test_a_run_that_diverges_saves_no_model_and_names_the_last_checkpoint(
    base, written, tmp_path
) -> None:
    with pytest.raises(TrainingDiverged, match=r"step \d+: ") as caught:
        _run(
            base, written(forget=FORGET, retain=RETAIN), tmp_path,
            ModelCheckpoint(every_n_train_steps=1),
            objectives={"forget": objective("gradient_ascent")}, lr=1e6,
            trainer={"max_steps": 50},
        )  # fmt: skip
    (folder,) = (tmp_path / "case").iterdir()
    assert not (folder / "model").exists()
    checkpoints = list((folder / "checkpoints").glob("*.ckpt"))
    assert checkpoints
    assert str(checkpoints[-1]) in str(caught.value)
    for path in checkpoints:
        weights = torch.load(path, weights_only=True)["state_dict"].values()
        assert all(torch.isfinite(w).all() for w in weights if isinstance(w, torch.Tensor))


def test_a_full_disk_leaves_nothing_half_written(base, written, tmp_path, monkeypatch) -> None:
    def full(self, folder, *arguments, **options):
        Path(folder, "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(UserError, match="No space left on device"):
        _run(base, written(forget=FORGET, retain=RETAIN), tmp_path)
    (folder,) = (tmp_path / "case").iterdir()
    assert not (folder / "model").exists()
    assert not list(folder.glob(".model*"))


def test_a_run_folder_that_cannot_be_written_is_refused_before_loading(
    base, written, tmp_path, monkeypatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    def never(*arguments):
        pytest.fail("the model was loaded")

    monkeypatch.setattr("unlearnkit.module.load_model", never)
    with pytest.raises(UserError, match="cannot write to"):
        _run(base, written(forget=FORGET, retain=RETAIN), blocked)


def test_a_run_of_another_run(base, written, tmp_path) -> None:
    """The folder of a LoRA run is a base like any other: the adapter is merged first."""
    _, first = _run(base, written(forget=FORGET, retain=RETAIN), tmp_path / "first", lora=LORA)
    (first.folder / "recipe.yaml").write_text("model: {}\n")
    module, _ = _run(
        first.folder, written(forget=FORGET, retain=RETAIN), tmp_path / "second", lr=0.0
    )
    expected = _loaded_elsewhere(first.folder / "model")["logits"]
    with torch.no_grad():
        logits = module.policy.eval()(torch.tensor([[4, 5, 6, 7]])).logits
    assert torch.allclose(torch.tensor(expected), logits, atol=1e-5)


def test_only_safetensors_are_loaded(base, tmp_path) -> None:
    weights = load_file(base / "model.safetensors")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((base / name).read_bytes())
    torch.save(weights, tmp_path / "pytorch_model.bin")
    module = UnlearningModule({"forget": objective("nll")}, base=str(tmp_path))
    with pytest.raises(UserError, match=r"model\.base"):
        module.configure_model()


def test_arguments_that_the_optimizer_refuses_are_the_recipes(
    base, written, tmp_path, monkeypatch
) -> None:
    def never(*arguments):
        pytest.fail("the model was loaded")

    monkeypatch.setattr("unlearnkit.module.load_model", never)
    with pytest.raises(UserError, match=r"model\.optimizer: Invalid learning rate: -1"):
        _run(base, written(forget=FORGET, retain=RETAIN), tmp_path, lr=-1.0)
    assert not list(tmp_path.iterdir())
