"""The recipes of edits, on the embedded models that they name."""

import torch

from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import read_command_line
from unlearnkit.models.composite.logits import CombinedForCausalLM
from unlearnkit.models.load import load_model

WORDS = ("--evaluate=[]", "--trainer.max_steps=2", "--trainer.accelerator=cpu",
         "--trainer.enable_progress_bar=false", "--trainer.logger=false",
         "--trainer.enable_checkpointing=false")  # fmt: skip


def built(name):
    line = read_command_line(["--recipe", f"edits/{name}", *WORDS])
    return RecipeCLI(read(line.recipes), line.overrides)


def test_the_offset_alone_is_trained_and_begins_as_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli = built("offset")
    cli.model.configure_model()
    policy = cli.model.policy
    assert isinstance(policy, CombinedForCausalLM)
    ids = torch.arange(20, 30)[None]
    base = load_model("tiny/tofu_power")
    assert torch.equal(policy(ids).logits, base(ids).logits)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    changed = {
        n.split(".")[1] for n, p in policy.named_parameters() if not torch.equal(p, before[n])
    }
    assert changed == {"tuned"}


def test_the_assistant_is_the_first_two_blocks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli = built("uld_assistant")
    cli.model.configure_model()
    assert cli.model.policy.config.num_hidden_layers == 2
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)


def test_an_adapter_of_o3_is_trained_beside_the_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli = built("o3")
    cli.model.configure_model()
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    names = {n for n, p in cli.model.policy.named_parameters() if p.requires_grad}
    assert names
    assert all("lora_" in name for name in names)
