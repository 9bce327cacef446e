"""Another model as the reference: its values, and what is refused."""

from __future__ import annotations

import pytest
import torch
from rounding import margin
from short_fits import objective, stub_module
from stub import save_stub, stub_model, stub_tokenizer

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.reference.other import OtherModel
from unlearnkit.errors import RecipeError

ROWS = {"retain": StreamBatch((Example((1, 2), (3, 4), 0, "a:1"),), 2.0, 1.0)}


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_the_divergence_is_from_the_other_model(tmp_path, layout) -> None:
    save_stub({"random_init": 2}, tmp_path / "teacher")
    module = stub_module(
        {"retain": objective("retain_kl")}, {"random_init": 1}, layout=layout,
        reference=OtherModel(path=str(tmp_path / "teacher")),
    )  # fmt: skip
    loss = module.loss(module.packer(ROWS))
    ids = torch.tensor([[1, 2, 3]])
    teacher, student = (
        stub_model({"random_init": seed})(ids).logits[0, 1:].log_softmax(-1) for seed in (2, 1)
    )
    expected = (teacher.exp() * (teacher - student)).sum(-1).mean()
    assert expected > 0.001
    assert loss.item() == pytest.approx(expected.item(), abs=margin(4.0))
    loss.backward()
    assert all(p.grad is None for p in module.reference.parameters())


def test_what_a_checkpoint_knows_of_it_changes_with_the_weights(tmp_path) -> None:
    found = []
    for seed in (1, 2):
        save_stub({"random_init": seed}, tmp_path / "teacher")
        found.append(OtherModel(path=str(tmp_path / "teacher")).settings)
    assert found[0]["model.reference.path"] == found[1]["model.reference.path"]
    assert found[0]["model.reference.fingerprint"] != found[1]["model.reference.fingerprint"]


def test_other_tokens_and_other_vocabularies_are_refused(tmp_path) -> None:
    other = {"bits": {**dict.fromkeys(("<pad>", "<unk>", "<bos>", "<eos>"), 3), "a": 2, "z": 2}}
    save_stub(other, tmp_path / "tokens")
    with pytest.raises(RecipeError, match=r"model\.reference"):
        OtherModel(path=str(tmp_path / "tokens")).check(stub_tokenizer(), 10)
    save_stub({}, tmp_path / "same")
    teacher = OtherModel(path=str(tmp_path / "same"))
    teacher.check(stub_tokenizer(), 10)
    with pytest.raises(RecipeError, match="probabilities of 10 tokens, and the trained model of 9"):
        teacher.check(stub_tokenizer(), 9)


def test_one_of_path_and_phase_is_given_and_a_phase_needs_phases() -> None:
    for arguments in ({}, {"path": "a", "phase": "b"}):
        with pytest.raises(RecipeError, match="expected a path or a phase"):
            OtherModel(**arguments)
    with pytest.raises(RecipeError, match="phase 'b': there is no such phase before"):
        OtherModel(phase="b").check(stub_tokenizer(), 10)


def test_it_is_refused_where_no_objective_reads_a_reference() -> None:
    with pytest.raises(RecipeError, match="no objective with a weight above 0 reads a reference"):
        stub_module({"retain": objective("retain_nll")}, reference=OtherModel(path="tiny"))
