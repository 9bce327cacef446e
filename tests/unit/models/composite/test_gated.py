"""Gated adapters (O3): the gate, folders, generation and scoring."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch
from edited import o3_model
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from stub import save_gpt2, save_stub, stub_model, stub_tokenizer
from transformers import AutoModelForCausalLM, BertConfig, BertModel

from unlearnkit.data.example import Example
from unlearnkit.edits.o3 import decisions
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.engine.preflight import MODEL, Values, refuse
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.composite.detector import fit_detector, load_detector
from unlearnkit.models.composite.gated import GatedForCausalLM
from unlearnkit.models.load import load_config, load_model
from unlearnkit.runs.evaluate import fingerprint_of

pytest.importorskip("sklearn")

# Ids of letters: the first request is about 4 and 5, the second about 6 and 7.
ONE = [[4, 4, 5, 4], [4, 5, 5], [5, 4, 4, 4, 5], [4, 5], [5, 5, 4, 5]]
TWO = [[6, 6, 7, 6], [6, 7, 7], [7, 6, 6, 6, 7], [6, 7], [7, 7, 6, 7]]
OTHER = [[8, 9, 8], [9, 9, 8, 9], [8, 3, 9]]


@pytest.fixture
def parts(tmp_path):
    """A base and two adapters of it."""
    save_stub({"random_init": 1}, tmp_path / "base")
    for seed, name in enumerate(("a", "b")):
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        torch.manual_seed(seed)
        config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
        get_peft_model(model, config).save_pretrained(tmp_path / name)
    return tmp_path


def make(parts, out="out", adapters=("a", "b"), prompts=(ONE, TWO), **options):
    folders = [parts / name for name in adapters]
    return o3_model(str(parts / "base"), folders, prompts, parts / out, **options)


def alone(parts, adapter):
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(parts / "base"), parts / adapter
    )
    return model.eval()


def test_each_request_has_its_adapter_and_other_prompts_the_base_bit_for_bit(parts):
    model = load_model(str(make(parts, gate="hard")))
    assert isinstance(model, GatedForCausalLM)
    base = load_model(str(parts / "base"))
    for some, expected in ((ONE, alone(parts, "a")), (TWO, alone(parts, "b")), (OTHER, base)):
        for prompt in some:
            ids = torch.tensor([prompt])
            assert torch.equal(model(ids).logits, expected(ids).logits)
    assert not torch.allclose(alone(parts, "a")(ids).logits, base(ids).logits)


def test_rows_of_a_batch_are_gated_one_by_one(parts):
    model = load_model(str(make(parts)))
    rows = [ONE[0], OTHER[1], TWO[0]]
    batch = model(torch.tensor(rows)).logits
    for row, each in zip(rows, batch, strict=True):
        torch.testing.assert_close(each, model(torch.tensor([row])).logits[0])
    base = load_model(str(parts / "base"))(torch.tensor(rows)).logits
    assert torch.equal(batch[1], base[1])
    assert not torch.allclose(batch[0], base[0])


def test_answers_of_a_base_with_absolute_positions_do_not_hang_on_the_batch(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(save_gpt2(tmp_path / "base"))
    tokenizer = stub_tokenizer()
    lora = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(model, lora).save_pretrained(tmp_path / "a")
    gated = load_model(str(make(tmp_path, adapters=("a",), prompts=(ONE,))))
    prompts = [tuple(each) for each in (*ONE, *TWO, *OTHER)]
    alone = [generate(gated, tokenizer, [p], max_new_tokens=5)[0].ids for p in prompts]
    found = generate(gated, tokenizer, prompts, max_new_tokens=5, batch_size=32)
    assert [each.ids for each in found] == alone
    assert len(set(alone)) > 4


def test_a_soft_gate_scales_the_adapter(parts):
    model = load_model(str(make(parts)))
    ids = torch.tensor([ONE[1]])
    (weight,) = model.chosen(model.gate_weights(ids))[:, 0]
    assert 0.5 <= weight < 1
    expected = alone(parts, "a")
    for layer in expected.modules():
        if isinstance(layer, LoraLayer):
            layer.scaling["default"] *= float(weight)
    torch.testing.assert_close(model(ids).logits, expected(ids).logits)


@pytest.mark.parametrize(("kind", "layers"), [("cosine", 3), ("mahalanobis", 2), ("o3", 3)])
def test_every_score_separates_what_it_was_fitted_on(parts, kind, layers):
    model = load_model(str(make(parts, score=kind, layers=layers)))
    weights = model.gate_weights(torch.tensor([ONE[0], TWO[0]]))
    assert weights[0, 0] > weights[0, 1]
    assert weights[1, 1] > weights[1, 0]


def test_a_published_gate_counts_the_adapter_by_its_steps(parts):
    model = load_model(str(make(parts, gate="scienceqa")))
    weights = torch.tensor([[0.95, 0.99], [0.6, 0.35], [0.6, 0.5], [0.95, 0.35]])
    expected = torch.tensor([[0.0, 1.2], [0.0, 0.35], [0.0, 0.0], [1.2, 0.0]])
    torch.testing.assert_close(model.chosen(weights), expected)
    ids = torch.tensor([ONE[1]])
    (weight,) = model.chosen(model.gate_weights(ids))[:, 0]
    assert weight == pytest.approx(1.2)
    alike = alone(parts, "a")
    for layer in alike.modules():
        if isinstance(layer, LoraLayer):
            layer.scaling["default"] *= 1.2
    torch.testing.assert_close(model(ids).logits, alike(ids).logits)


@pytest.fixture
def encoder(parts):
    """A random encoder with a tokenizer of its own, of another size than the base."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=10, hidden_size=12, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8)  # fmt: skip
    BertModel(config).save_pretrained(parts / "encoder")
    stub_tokenizer({"add_bos": True}).save_pretrained(parts / "encoder")
    return parts / "encoder"


def test_an_encoder_of_its_own_looks_at_the_prompts(parts, encoder):
    out = make(parts, encoder=str(encoder))
    model = load_model(str(out))
    assert (model.config.layers, model.encoder.model.config.model_type) == (2, "bert")
    weights = model.gate_weights(torch.tensor([ONE[0], TWO[0]]))
    assert weights[0, 0] > weights[0, 1]
    assert weights[1, 1] > weights[1, 0]
    prompt = torch.tensor([ONE[0]])
    text = "aaba"
    given = load_tokenizer(str(encoder))(text, return_tensors="pt")
    states = BertModel.from_pretrained(encoder)(**given, output_hidden_states=True).hidden_states
    expected = torch.stack([each[0].mean(0) for each in states])
    torch.testing.assert_close(model.features(prompt)[0], expected, rtol=1e-4, atol=1e-5)
    padded = model.features(torch.tensor([[0, *ONE[0]]]), torch.tensor([[0, 1, 1, 1, 1]]))
    torch.testing.assert_close(padded, model.features(prompt), rtol=1e-4, atol=1e-5)
    assert not list((out / "parts").glob("encoder/*"))
    model.save_pretrained(parts / "again")
    load_tokenizer(str(out)).save_pretrained(parts / "again")
    assert torch.equal(load_model(str(parts / "again")).gate_weights(prompt), weights[:1])
    shutil.rmtree(encoder)
    with pytest.raises(RecipeError, match="its part 'encoder' cannot be used"):
        load_model(str(out))


def test_each_request_can_have_an_encoder_of_its_own(parts, encoder):
    shutil.copytree(encoder, parts / "second")
    torch.manual_seed(1)
    config = BertModel.from_pretrained(encoder).config
    BertModel(config).save_pretrained(parts / "second")
    both = [str(encoder), str(parts / "second")]
    prompts = torch.tensor([ONE[0], TWO[0]])
    found = load_model(str(make(parts, encoder=both))).gate_weights(prompts)
    alone = [
        load_model(str(make(parts, out=f"of_{i}", encoder=each))) for i, each in enumerate(both)
    ]
    model = load_model(str(parts / "out"))
    for request, one in enumerate(alone):
        assert torch.equal(found[:, request], one.gate_weights(prompts)[:, request])
        seen = [model.features(prompts, request=name) for name in ("request1", "request2")]
        assert torch.equal(seen[request], one.features(prompts))
        assert not torch.equal(seen[1 - request], one.features(prompts))
    assert {*model.config.parts} == {
        "base", "request1", "request2", "encoder_request1", "encoder_request2",
    }  # fmt: skip
    model.save_pretrained(parts / "again")
    load_tokenizer(str(parts / "out")).save_pretrained(parts / "again")
    assert torch.equal(load_model(str(parts / "again")).gate_weights(prompts), found)
    shutil.rmtree(parts / "second")
    with pytest.raises(RecipeError, match="its part 'encoder_request2' cannot be used"):
        load_model(str(parts / "out"))


def test_encoders_are_one_or_as_many_as_adapters(parts, encoder):
    with pytest.raises(UserError, match="--encoder: expected one, or one for each of the 2 adap"):
        make(parts, encoder=[str(encoder)] * 3)


def test_padding_on_either_side_changes_no_weight(parts):
    model = load_model(str(make(parts, layers=3)))
    prompt = ONE[0]
    expected = model.gate_weights(torch.tensor([prompt]))
    for row, mask in (([0, 0, *prompt], [0, 0, 1, 1, 1, 1]), ([*prompt, 0, 0], [1] * 4 + [0] * 2)):
        found = model.gate_weights(torch.tensor([row]), torch.tensor([mask]))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_gate_sees_the_prompt_alone(parts):
    model = load_model(str(make(parts, gate="hard")))
    whole = torch.tensor([[*ONE[0], 8, 9, 8, 9, 8, 9]])
    expected = alone(parts, "a")(whole).logits
    lengths = torch.tensor([4])
    assert torch.equal(model(whole, prompt_lengths=lengths).logits, expected)
    labels = torch.cat([torch.full((1, 4), -100), whole[:, 4:]], dim=1)
    assert torch.equal(model(whole, labels=labels).logits, expected)
    assert not torch.equal(model(whole).logits, expected)


def test_scores_of_responses_are_those_of_the_prompt_s_model(parts):
    model = load_model(str(make(parts, gate="hard")))
    response = (8, 9, 8, 9, 8, 9)
    examples = [Example(tuple(p[0]), response, i, "row") for i, p in enumerate((ONE, TWO, OTHER))]
    found = score(model, examples)
    models = (alone(parts, "a"), alone(parts, "b"), load_model(str(parts / "base")))
    for i, (example, each) in enumerate(zip(examples, models, strict=True)):
        expected = score(each, [example]).logps
        torch.testing.assert_close(found.logps[found.sequence == i], expected)


@pytest.mark.parametrize("use_cache", [True, False])
def test_generation_keeps_the_prompt_s_adapter(parts, use_cache):
    model = load_model(str(make(parts, gate="hard")))
    tokenizer = load_tokenizer(str(parts / "base"))
    models = (alone(parts, "a"), alone(parts, "b"), load_model(str(parts / "base")))
    prompts = [ONE[0], TWO[1], OTHER[0]]
    if use_cache:
        found = [each.ids for each in generate(model, tokenizer, prompts, max_new_tokens=12)]
    else:
        options = {"max_new_tokens": 12, "use_cache": False, "do_sample": False}
        found = [
            tuple(model.generate(torch.tensor([p]), **options)[0, len(p) :].tolist())
            for p in prompts
        ]
        found = [ids[: ids.index(3)] if 3 in ids else ids for ids in found]
    for prompt, each, ids in zip(prompts, models, found, strict=True):
        assert generate(each, tokenizer, [prompt], max_new_tokens=12)[0].ids == ids
    assert len(set(found)) > 1


def test_beams_and_a_cache_of_one_s_own(parts):
    model, expected = load_model(str(make(parts, gate="hard"))), alone(parts, "a")
    ids = torch.tensor([ONE[0]])
    options = {"num_beams": 3, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(model.generate(ids, **options), expected.generate(input_ids=ids, **options))
    first = model(ids, use_cache=True)
    step = torch.tensor([[8]])
    found = model(step, cache=first.cache, use_cache=True).logits
    whole = expected(torch.cat([ids, step], dim=1)).logits[:, -1:]
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)


def test_a_call_leaves_nothing_behind(parts):
    model = load_model(str(make(parts)))
    scalings = [copy.copy(m.scaling) for m in model.modules() if isinstance(m, LoraLayer)]
    for some in (ONE, OTHER, TWO):
        model(torch.tensor([some[0]]))
        assert not any(p.requires_grad for p in model.parameters())
    assert scalings == [m.scaling for m in model.modules() if isinstance(m, LoraLayer)]


def test_it_can_be_saved_again_and_loaded_by_transformers(parts):
    out = make(parts)
    model = load_model(str(out))
    model.save_pretrained(parts / "again")
    ids = torch.tensor([ONE[0], TWO[0], [9, 9, 8, 9]])
    for each in (parts / "again", out):
        assert torch.equal(
            AutoModelForCausalLM.from_pretrained(each)(ids).logits, model(ids).logits
        )
    weights = sorted(str(p.relative_to(out).parent) for p in out.rglob("adapter_model.safetensors"))
    assert weights == ["parts/request1", "parts/request2"]
    assert not (out / "model.safetensors").exists()


def test_models_with_other_adapters_have_other_fingerprints(parts):
    one, two = make(parts, "one"), make(parts, "two", adapters=("b", "a"))
    assert fingerprint_of(str(one)) != fingerprint_of(str(two))


def test_decisions_are_on_disk(parts):
    out = make(parts)
    found = json.loads((out / "gate.json").read_text())
    assert [each["group"] for each in found] == ["request1"] * 5 + ["request2"] * 5
    assert all(each["adapter"] == each["group"] for each in found)
    model, tokenizer = load_model(str(out)), load_tokenizer(str(out))
    others = decisions(model, tokenizer, {"other": OTHER}, batch_size=2)
    assert {(each["adapter"], each["weight"]) for each in others} == {(None, 0.0)}
    assert all(set(each["weights"]) == {"request1", "request2"} for each in others)


def test_a_moved_or_changed_base_is_named(parts):
    out = make(parts)
    shutil.move(parts / "base", parts / "gone")
    with pytest.raises(RecipeError, match="its part 'base' cannot be used"):
        load_model(str(out))
    save_stub({"random_init": 5}, parts / "base")
    with pytest.raises(RecipeError, match="no longer the model it was"):
        load_model(str(out))


def test_adapters_of_another_base_are_refused_together(parts):
    save_stub({"random_init": 7}, parts / "other")
    with pytest.raises(UserError) as error:
        o3_model(str(parts / "other"), [parts / "a", parts / "b"], [ONE, TWO], parts / "out")
    assert error.value.message.count("expected an adapter of") == 2
    assert not (parts / "out").exists()


@pytest.mark.parametrize("more", ["bias", "modules_to_save", "use_dora"])
def test_adapters_that_a_gate_cannot_scale_are_refused(parts, more):
    """They would change the base for every prompt: biases are the base's own."""
    given = {"bias": "all", "modules_to_save": ["norm"], "use_dora": True}[more]
    model = AutoModelForCausalLM.from_pretrained(parts / "base")
    config = LoraConfig(r=2, target_modules=["q_proj"], **{more: given})
    get_peft_model(model, config).save_pretrained(parts / "c")
    with pytest.raises(UserError, match=f"c: expected a plain LoRA adapter, found {more}"):
        make(parts, adapters=("c",), prompts=(ONE,))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score": "cosin"}, "--score"),
        ({"layers": 9}, "expected 1 to 3, found 9"),
        ({"encoder": "./nowhere"}, "there is no folder ./nowhere"),
        ({"gate": "firm"}, "--gate: expected soft, hard, scienceqa, tofu, found 'firm'"),
        ({"gate": "tofu", "threshold": 0.4}, "--threshold: has no effect with --gate tofu"),
        ({"heldout": 1.0}, "--heldout: expected a part, from 0 to below 1, found 1.0"),
        ({"heldout": 0.05}, "--heldout: 0.05 of 5 prompts is none of them"),
        ({"threshold": 0.0}, "--threshold"),
        ({"nu": 1.5}, "--nu"),
        ({"prompts": (ONE[:2], TWO)}, "at least 3 prompts"),
    ],
)
def test_wrong_options_are_refused(parts, options, words):
    with pytest.raises(UserError, match=words):
        make(parts, **options)
    assert not (parts / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompts": (ONE, TWO[:2])}, "at least 3 prompts of a request, found 2"),
        ({"heldout": 0.5, "prompts": (ONE[:4], TWO)}, "at least 3 prompts of a request, found 2"),
        ({"encoder": "mute"}, "mute holds no tokenizer that can be loaded"),
    ],
)
def test_what_a_detector_cannot_be_fitted_on_is_told_before_a_model_is_loaded(
    parts, monkeypatch, options, words
):
    BertConfig(num_hidden_layers=1, hidden_size=16).save_pretrained(parts / "mute")
    monkeypatch.chdir(parts)
    monkeypatch.setattr("unlearnkit.edits.o3.load_model", None)
    with pytest.raises(UserError, match=words):
        make(parts, **options)


def test_it_has_no_part_to_be_trained(parts):
    config = load_config(str(make(parts)))
    with pytest.raises(RecipeError, match="no trained component"):
        refuse(MODEL, Values("tiny", config=config))


def test_a_detector_is_the_same_from_its_file(tmp_path):
    torch.manual_seed(0)
    features = torch.randn(6, 2, 8)
    detector = fit_detector(features, "mahalanobis")
    detector.save(tmp_path / "detector.safetensors")
    again = load_detector(tmp_path / "detector.safetensors", "mahalanobis")
    probes = torch.randn(4, 2, 8)
    assert torch.equal(again(probes), detector(probes))


def test_the_decision_function_is_scikit_learn_s():
    from sklearn.svm import OneClassSVM

    torch.manual_seed(0)
    features = torch.randn(8, 3, 5) + 2
    detector = fit_detector(features, "cosine", nu=0.2)
    scores = detector.layer_scores(features).double().numpy()
    fitted = OneClassSVM(kernel="linear", nu=0.2).fit(scores)
    expected = torch.tensor(fitted.decision_function(scores)).float()
    torch.testing.assert_close(detector.decision(features), expected, rtol=1e-3, atol=1e-4)


def test_the_base_alone_costs_no_adapter(parts):
    """`stub_model` with the same seed is the base."""
    model = load_model(str(make(parts)))
    ids = torch.tensor([OTHER[0]])
    assert torch.equal(model(ids).logits, stub_model({"random_init": 1})(ids).logits)
