import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from unlearnkit.errors import RecipeError
from unlearnkit.objectives import L2ToReference, OrthogonalLoRA
from unlearnkit.testing import check_objective


def adapter(seed, *, rank=2, modules=("0", "2")):
    """A LoRA model over two linear layers; the base is the same for every seed."""
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    torch.manual_seed(seed)
    return get_peft_model(base, LoraConfig(r=rank, target_modules=list(modules)))


def a_matrices(model):
    return [p for n, p in model.named_parameters() if "lora_A" in n]


@pytest.fixture
def saved(tmp_path):
    def save(seed, **kwargs):
        folder = tmp_path / f"adapter-{seed}"
        adapter(seed, **kwargs).save_pretrained(folder)
        return str(folder)

    return save


class TestL2:
    def test_zero_at_the_start_then_half_the_squared_distance(self):
        model = nn.Linear(2, 1)
        objective = L2ToReference()
        objective.attach(model)
        assert objective({}).item() == 0
        with torch.no_grad():
            model.weight += torch.tensor([[3.0, 0.0]])
            model.bias += 4.0
        loss = objective({})
        assert loss.item() == pytest.approx(12.5)
        loss.backward()
        assert model.weight.grad.tolist() == [[3.0, 0.0]]

    def test_frozen_parameters_are_left_out(self):
        model = adapter(1)
        objective = L2ToReference()
        objective.attach(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 1.0
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert objective({}).item() == pytest.approx(trained / 2)

    def test_the_copy_is_not_saved(self):
        objective = L2ToReference()
        objective.attach(nn.Linear(2, 1))
        assert not objective.state_dict()
        assert not list(objective.parameters())

    def test_without_a_model(self):
        with pytest.raises(LookupError, match="attach"):
            L2ToReference()({})


class TestOrthogonalLoRA:
    def test_sums_over_modules_and_earlier_adapters(self, saved):
        model = adapter(3)
        objective = OrthogonalLoRA(previous=[saved(1), saved(2, rank=1)])
        objective.attach(model)
        expected = sum(
            (b @ a.T).square().sum().item()
            for earlier in (adapter(1), adapter(2, rank=1))
            for a, b in zip(a_matrices(model), a_matrices(earlier), strict=True)
        )
        assert expected > 0
        assert objective({}).item() == pytest.approx(expected)

    def test_of_an_adapter_with_itself(self, saved):
        model = adapter(1)
        objective = OrthogonalLoRA(previous=[saved(1)])
        objective.attach(model)
        expected = sum((a @ a.T).square().sum().item() for a in a_matrices(model))
        assert objective({}).item() == pytest.approx(expected)

    def test_contract(self, saved):
        check_objective(OrthogonalLoRA(previous=[saved(1)]), policy=adapter(2))

    def test_the_first_adapter_has_none_before_it(self):
        objective = OrthogonalLoRA()
        objective.attach(adapter(1))
        loss = objective({})
        loss.backward()
        assert loss.item() == 0

    def test_a_folder_without_an_adapter_is_refused_before_any_model_is_loaded(self, tmp_path):
        with pytest.raises(RecipeError, match=r"has no adapter_model\.safetensors"):
            OrthogonalLoRA(previous=[str(tmp_path)])

    def test_an_adapter_of_other_modules(self, saved):
        objective = OrthogonalLoRA(previous=[saved(1, modules=("0",))])
        with pytest.raises(RecipeError, match=r"base_model\.model\.2"):
            objective.attach(adapter(2))

    def test_a_model_without_an_adapter(self):
        with pytest.raises(RecipeError, match="no LoRA adapter"):
            OrthogonalLoRA().attach(nn.Linear(2, 2))
