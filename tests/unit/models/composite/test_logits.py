"""Combined models: logits, caches, folders, and training through them."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from edited import offset_model, ucd_model, uld_model, whp_model
from rounding import margin
from stub import save_stub
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.engine.preflight import MODEL, Values, refuse
from unlearnkit.engine.step.head import Head
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.functional import offset_logits, uld_logits, whp_logits
from unlearnkit.models.base import BaseModel, Offset, load_tokenizer
from unlearnkit.models.composite.logits import CombinedForCausalLM
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import load_config, load_model
from unlearnkit.models.modes import captured_states
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.divergence import RetainKL
from unlearnkit.objectives.preference import NPO
from unlearnkit.runs.evaluate import fingerprint_of

IDS = torch.tensor([[4, 5, 6, 4], [7, 8, 4, 5]])
PROMPTS = [[4, 5], [6, 7, 8, 4], [5]]


@pytest.fixture
def models(tmp_path):
    """Three random models of one tokenizer, and one of another architecture among them."""
    save_stub({"random_init": 1, "layers": 3}, tmp_path / "base")
    save_stub({"random_init": 2}, tmp_path / "tuned")
    save_stub({"random_init": 3}, tmp_path / "small")
    return tmp_path


@pytest.fixture(params=["offset", "ucd", "uld", "whp"])
def made(request, models):
    """A combined model's folder, and what its logits should be."""
    base, tuned, small = (str(models / name) for name in ("base", "tuned", "small"))
    out = models / "out"
    logits = [load_model(each)(IDS).logits for each in (base, tuned, small)]
    if request.param == "offset":
        offset_model(base, tuned, small, out, alpha=0.5)
        return out, offset_logits(*logits, alpha=0.5)
    if request.param == "ucd":
        ucd_model(base, tuned, small, out, alpha=1.5)
        return out, logits[0] + 1.5 * (logits[1] - logits[2])
    if request.param == "uld":
        uld_model(base, tuned, out, weight=-0.7, relative_top=0.3)
        return out, uld_logits(*logits[:2], weight=-0.7, relative_top=0.3)
    whp_model(base, tuned, out, alpha=2.0)
    return out, whp_logits(*logits[:2], alpha=2.0)


def test_the_folder_loads_as_any_model_and_has_the_logits(made):
    out, expected = made
    model = load_model(str(out))
    assert isinstance(model, CombinedForCausalLM)
    torch.testing.assert_close(model(IDS).logits, expected)
    torch.testing.assert_close(model(IDS, logits_to_keep=1).logits, expected[:, -1:])
    plain = AutoModelForCausalLM.from_pretrained(out)
    torch.testing.assert_close(plain(IDS).logits, expected)
    assert AutoTokenizer.from_pretrained(out).get_vocab() == load_tokenizer(str(out)).get_vocab()


def test_generation_with_caches_is_generation_without(made):
    model, tokenizer = load_model(str(made[0])), load_tokenizer(str(made[0]))
    found = generate(model, tokenizer, PROMPTS, max_new_tokens=12)
    for prompt, each in zip(PROMPTS, found, strict=True):
        ids = list(prompt)
        for _ in range(12):
            token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            ids.append(token)
        assert tuple(ids[len(prompt) :]) == each.ids
    assert len({each.ids for each in found}) > 1


def test_each_part_keeps_a_cache_of_its_own(made):
    model = load_model(str(made[0]))
    first = model(IDS[:, :3], use_cache=True)
    assert len(first.cache.of["base"].layers) == 3
    assert all(cache.get_seq_length() == 3 for cache in first.cache.of.values())
    step = model(IDS[:, 3:], cache=first.cache, use_cache=True)
    torch.testing.assert_close(step.logits[:, -1], made[1][:, -1], rtol=1e-4, atol=1e-5)


def test_beam_search_moves_the_caches_of_all_parts(made):
    model = load_model(str(made[0]))
    options = {"num_beams": 3, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    cached = model.generate(IDS, **options, use_cache=True)
    assert torch.equal(cached, model.generate(IDS, **options, use_cache=False))


def test_scores_of_responses_are_those_of_the_logits(made):
    model = load_model(str(made[0]))
    ids = IDS[0].tolist()
    found = score(model, [Example(tuple(ids[:2]), tuple(ids[2:]), 0, "row")])
    logps = made[1][0].log_softmax(-1)
    expected = torch.stack([logps[1, ids[2]], logps[2, ids[3]]])
    torch.testing.assert_close(found.logps, expected, rtol=1e-4, atol=1e-5)


def test_only_the_own_part_is_on_disk_and_only_it_is_trained(made):
    out, _ = made
    model = load_model(str(out))
    own = model.rule.own
    weights = {p.parent.name for p in out.rglob("*.safetensors")}
    assert weights == ({own} if own else set())
    trained = {n.split(".")[1] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == weights
    model.train()
    assert {n for n, part in model.parts.items() if part.training} == weights


def test_saving_again_gives_the_same_model(made, tmp_path):
    out, expected = made
    load_model(str(out)).save_pretrained(tmp_path / "again")
    torch.testing.assert_close(load_model(str(tmp_path / "again"))(IDS).logits, expected)


def test_a_part_that_changed_or_went_is_refused(made):
    out, _ = made
    before = fingerprint_of(str(out))
    save_stub({"random_init": 9, "layers": 3}, out.parent / "base")
    with pytest.raises(RecipeError, match=r"'base' cannot be used: .* no longer the model it was"):
        load_model(str(out))
    (out.parent / "base" / "model.safetensors").unlink()
    (out.parent / "base" / "config.json").unlink()
    with pytest.raises(RecipeError, match="part 'base' cannot be used"):
        load_model(str(out))
    assert before == fingerprint_of(str(out))


def test_the_fingerprint_tells_combinations_apart(models):
    base, tuned, small = (str(models / name) for name in ("base", "tuned", "small"))
    folders = [
        offset_model(base, tuned, small, models / "one"),
        offset_model(base, tuned, small, models / "two", alpha=0.5),
        offset_model(base, small, small, models / "three"),
    ]
    assert len({fingerprint_of(str(folder)) for folder in folders}) == 3


def test_parts_of_other_architectures_and_padded_heads(models):
    """Heads may be wider than the tokenizer, each in its own way."""
    torch.manual_seed(0)
    config = GPT2Config(n_layer=1, n_head=2, n_embd=12, vocab_size=16, n_positions=32)
    small = GPT2LMHeadModel(config).eval()
    small.save_pretrained(models / "gpt2")
    load_tokenizer(str(models / "base")).save_pretrained(models / "gpt2")
    out = whp_model(str(models / "base"), str(models / "gpt2"), models / "out")
    model = load_model(str(out))
    expected = whp_logits(load_model(str(models / "base"))(IDS).logits, small(IDS).logits[..., :10])
    torch.testing.assert_close(model(IDS).logits, expected)
    assert (model.config.vocab_size, model.config.max_position_embeddings) == (10, 32)
    assert len(generate(model, load_tokenizer(str(out)), PROMPTS, max_new_tokens=4)) == 3


def test_a_part_that_is_made_of_others_is_refused_before_anything_is_written(models):
    base = str(models / "base")
    whp_model(base, str(models / "tuned"), models / "made")
    with pytest.raises(UserError, match=r"made \(base\): expected a plain model"):
        whp_model(str(models / "made"), base, models / "out")
    with pytest.raises(RecipeError, match=r"made \(small\): expected a plain model"):
        load_config(BaseModel(base, offset=Offset(str(models / "made"))))
    assert not (models / "out").exists()


def test_another_tokenizer_is_refused_before_anything_is_written(models):
    save_stub({"random_init": 4, "add_bos": True}, models / "other")
    with pytest.raises(UserError) as caught:
        offset_model(
            str(models / "base"), str(models / "other"), str(models / "other"), models / "out"
        )
    message = str(caught.value)
    assert "other (tuned), field 'tokenizer': found another one" in message
    assert "other (small), field 'tokenizer': found another one" in message
    assert not (models / "out").exists()


def test_nothing_is_overwritten_and_arguments_are_checked(models):
    base, tuned = str(models / "base"), str(models / "tuned")
    with pytest.raises(UserError, match="not empty"):
        whp_model(base, tuned, models / "small")
    with pytest.raises(UserError, match="--relative_top: expected 0 to 1"):
        uld_model(base, tuned, models / "out", relative_top=2.0)
    with pytest.raises(UserError, match="--alpha: expected a finite number"):
        whp_model(base, tuned, models / "out", alpha=float("inf"))


@pytest.fixture
def offset(models):
    """A model with an offset that has not learned anything yet."""
    return BaseModel(str(models / "base"), offset=Offset(str(models / "small"), alpha=0.5))


def test_an_offset_begins_as_the_base_exactly(models, offset):
    model = load_model(offset)
    assert torch.equal(model(IDS).logits, load_model(str(models / "base"))(IDS).logits)
    assert load_config(offset).to_dict() == model.config.to_dict()


def test_the_engines_head_gives_the_gradient_of_the_whole_model(offset):
    model = load_model(offset)
    model(IDS).logits.log_softmax(-1)[:, 1, 6].sum().backward()
    expected = [p.grad.clone() for p in model.parts["tuned"].parameters()]
    model.zero_grad()
    head = Head(model)
    with captured_states(head.module) as caught:
        model(IDS, use_cache=False)
    head.logps(caught[-1][:, 1], torch.tensor([6, 6])).sum().backward()
    for parameter, gradient in zip(model.parts["tuned"].parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert all(p.grad is None for p in model.parts["base"].parameters())
    assert any(gradient.abs().sum() > 0 for gradient in expected)


def test_a_copy_shares_what_never_changes(offset):
    model = load_model(offset)
    copied = copy.deepcopy(model)
    assert copied.parts["base"] is model.parts["base"]
    assert copied.parts["tuned"] is not model.parts["tuned"]
    with torch.no_grad():
        next(model.parts["tuned"].parameters()).add_(1.0)
    assert not torch.equal(copied(IDS).logits, model(IDS).logits)
    torch.testing.assert_close(copied(IDS).logits, load_model(offset)(IDS).logits)


def test_first_blocks_and_the_head(models):
    cut = load_model(BaseModel(str(models / "base"), first_blocks=2))
    whole = load_model(str(models / "base"))
    del whole.model.layers[2:]
    torch.testing.assert_close(cut(IDS).logits, whole(IDS).logits)
    assert cut.config.num_hidden_layers == 2
    for blocks in (0, 4):
        with pytest.raises(RecipeError, match=f"first_blocks: expected 1 to 3, found {blocks}"):
            load_config(BaseModel(str(models / "base"), first_blocks=blocks))


def test_fingerprints_of_what_a_recipe_may_name_differ(models):
    path = str(models / "base")
    named = [
        BaseModel(path),
        BaseModel(path, first_blocks=1),
        BaseModel(path, offset=Offset(str(models / "small"))),
        BaseModel(path, offset=Offset(str(models / "small"), alpha=0.5)),
        BaseModel(path, offset=Offset(str(models / "tuned"))),
    ]
    assert len({model_fingerprint(each) for each in named}) == len(named)
    assert len({fingerprint_of(each) for each in named}) == len(named)


def test_pointers_are_names_or_whole_paths(models, monkeypatch):
    monkeypatch.chdir(models)
    out = whp_model("base", "tuned", "out")
    config = json.loads((out / "config.json").read_text())
    assert config["parts"]["base"]["path"] == str(models / "base")
    monkeypatch.chdir("/")
    load_model(str(models / "out"))


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_an_offset_is_trained_by_any_objective_in_either_layout(models, offset, layout):
    """One step's loss and gradient are those of the plain model's logits."""
    module = UnlearningModule(
        {"forget": NPO(stream="forget"), "retain": RetainKL(stream="retain")},
        base=offset,
        layout=layout,
    )
    module.configure_model()
    rows = {
        "forget": [Example((4, 5), (6, 7), 0, "f"), Example((4, 5), (8,), 1, "f")],
        "retain": [Example((5, 6, 7), (4, 4, 3), 0, "r")],
    }
    batch = module.packer({k: StreamBatch(tuple(v), 3.0, float(len(v))) for k, v in rows.items()})
    with torch.no_grad():
        for parameter in module.policy.parts["tuned"].parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    loss = module.loss(batch)
    loss.backward()
    found = [p.grad for p in module.policy.parts["tuned"].parameters()]
    module.policy.zero_grad()
    reference = load_model(str(models / "base"))

    def logps(model, example):
        ids = torch.tensor([[*example.prompt_ids, *example.response_ids]])
        start = len(example.prompt_ids)
        return model(ids).logits[0, start - 1 : -1].log_softmax(-1), ids[0, start:]

    def log_ratio(example):
        (ours, target), (theirs, _) = logps(module.policy, example), logps(reference, example)
        return (ours - theirs.detach()).gather(1, target[:, None]).sum()

    ratios = torch.stack([log_ratio(each) for each in rows["forget"]])
    beta = 0.1
    npo = -(2 / beta) * torch.nn.functional.logsigmoid(-beta * ratios).mean()
    (ours, _), (theirs, _) = (logps(m, rows["retain"][0]) for m in (module.policy, reference))
    kl = (theirs.exp() * (theirs - ours)).sum(-1).mean()
    expected = npo + kl
    expected.backward()
    torch.testing.assert_close(loss.detach(), expected.detach())
    for parameter, gradient in zip(module.policy.parts["tuned"].parameters(), found, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=margin(size=1.0))


def test_a_combination_without_a_part_of_its_own_is_not_trained(models):
    out = whp_model(str(models / "base"), str(models / "tuned"), models / "out")
    with pytest.raises(RecipeError, match="made by 'edit whp' has no trained component"):
        refuse(MODEL, Values(str(out), config=load_config(str(out))))


def test_a_combination_is_not_sharded(offset):
    with pytest.raises(RecipeError, match="fsdp2 does not shard"):
        refuse(MODEL, Values(offset, config=load_config(offset), sharded=True))


def test_dropout_is_for_the_part_that_is_trained(models):
    save_stub({"random_init": 5, "dropout": 0.5}, models / "noisy")
    noisy = str(models / "noisy")
    frozen = load_model(BaseModel(noisy, offset=Offset(str(models / "small")))).train()
    assert torch.equal(frozen(IDS).logits, frozen(IDS).logits)
    trained = load_model(BaseModel(str(models / "base"), offset=Offset(noisy))).train()
    assert not torch.equal(trained(IDS).logits, trained(IDS).logits)


def test_recomputed_activations_change_no_gradient(offset):
    def gradients(recompute):
        model = load_model(offset).train()
        if recompute:
            model.activation_checkpointing_enable({"use_reentrant": False})
            model.enable_input_require_grads()
        model(IDS, labels=IDS, use_cache=False).loss.backward()
        return [p.grad for p in model.parts["tuned"].parameters()]

    for one, other in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(one, other)


def test_what_loading_does_not_know_is_not_swallowed(made):
    with pytest.raises(TypeError, match="device_mpa"):
        AutoModelForCausalLM.from_pretrained(made[0], device_mpa="cpu")
    half = AutoModelForCausalLM.from_pretrained(made[0], dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(half(IDS).logits, made[1], rtol=0.1, atol=0.1)
