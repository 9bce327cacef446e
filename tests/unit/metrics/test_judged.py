"""Metrics that another model judges, by tiny random models made here."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from rounding import near
from safetensors.torch import load_file, save_file
from stub import stub_model, stub_tokenizer
from transformers import BertConfig, BertForSequenceClassification, BertModel

from unlearnkit.errors import RecipeError
from unlearnkit.metrics import Harmfulness, SemanticSimilarity
from unlearnkit.suites import Copyright, Harmful, SuiteContext

TOKENIZER = {"add_bos": True}
SHORT = SuiteContext(max_new_tokens=4)


def config(**labels):
    return BertConfig(
        vocab_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64, pad_token_id=0, **labels,
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Folder of an encoder whose sentence embedding is the mean over tokens."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    BertModel(config()).save_pretrained(folder)
    stub_tokenizer(TOKENIZER).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Folder of a classifier that calls everything harmful with probability 0.8."""
    folder = tmp_path_factory.mktemp("classifier")
    names = {0: "safe", 1: "harmful"}
    model = BertForSequenceClassification(
        config(id2label=names, label2id={name: i for i, name in names.items()})
    )
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.2, 0.8]).log())
    model.save_pretrained(folder)
    stub_tokenizer(TOKENIZER).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    pairs = [("ab", "cd"), ("c", "ee"), ("d", "a")]
    path.write_text("".join(json.dumps({"prompt": p, "response": r}) + "\n" for p, r in pairs))
    return str(path)


@pytest.mark.extra("sentence_transformers")
def test_equal_texts_are_alike_and_others_less(encoder):
    metric = SemanticSimilarity(encoder)
    metric.update(["abc", "abc", "", "a b"], ["abc", "eed", "abc", "a b"], rows=[0, 1, 2, 3])
    same, other, empty, again = metric.row_values()[:, 0].tolist()
    assert same == pytest.approx(1.0)
    assert again == pytest.approx(1.0)
    assert max(other, empty) < 0.999
    assert metric.compute().item() == pytest.approx((same + other + empty + again) / 4)


@pytest.mark.extra("sentence_transformers")
def test_similarity_is_the_cosine_of_the_mean_states(encoder):
    metric = SemanticSimilarity(encoder)
    metric.update(["ab"], ["ce"])
    model, tokenizer = BertModel.from_pretrained(encoder), stub_tokenizer(TOKENIZER)
    with torch.no_grad():
        both = [
            model(**tokenizer(text, return_tensors="pt")).last_hidden_state.mean(1)
            for text in ("ab", "ce")
        ]
    expected = torch.nn.functional.cosine_similarity(*both).item()
    assert metric.compute().item() == near(expected, size=1.0)
    assert metric.compute().item() != near(1.0)


def test_harmfulness_is_the_probability_of_the_label(classifier):
    texts = ["abc", "", "a" * 200]
    for label, expected in (("harmful", 0.8), ("safe", 0.2)):
        metric = Harmfulness(classifier, label)
        metric.update(texts)
        assert metric.compute().item() == near(expected)
        assert metric.compute().item() != near(1 - expected)
        share = Harmfulness(classifier, label, threshold=0.5)
        share.update(texts)
        assert share.compute().item() == (expected > 0.5)


def test_models_and_labels_that_are_not_there_are_named(classifier):
    with pytest.raises(RecipeError, match="Its labels: harmful, safe") as caught:
        Harmfulness(classifier, "toxic").check()
    assert "no label 'toxic'" in str(caught.value)
    with pytest.raises(RecipeError, match="'no/model' is no model that can be loaded"):
        Harmfulness("no/model", "toxic").check()


@pytest.mark.extra("sentence_transformers")
def test_an_encoder_that_is_not_there_is_named():
    with pytest.raises(RecipeError, match="'no/model' is no model that can be loaded"):
        Copyright(semantic="no/model").check(stub_tokenizer(), SHORT)


@pytest.mark.extra("sentence_transformers")
@pytest.mark.parametrize("saved", [False, True], ids=["a folder of BERT", "the library's folder"])
def test_an_encoder_whose_files_lack_weights_is_refused_by_name(encoder, tmp_path, saved):
    folder = tmp_path / "encoder"
    if saved:
        from sentence_transformers import SentenceTransformer

        SentenceTransformer(encoder, device="cpu").save(str(folder))
    else:
        shutil.copytree(encoder, folder)
    file = folder / "model.safetensors"
    lacking = "encoder.layer.0.attention.self.query.weight"
    weights = {key: value for key, value in load_file(file).items() if lacking not in key}
    weights = {key: value for key, value in weights.items() if "pooler" not in key}
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(RecipeError, match=f"lacks 1 weight .*{lacking}"):
        SemanticSimilarity(str(folder)).check()


@pytest.mark.extra("sentence_transformers")
def test_copyright_reports_similarity_where_a_model_is_named(encoder, rows):
    model, tokenizer = stub_model({"random_init": 1}), stub_tokenizer()
    suite = Copyright(*[rows] * 4, semantic=encoder)
    result = suite.run(model, tokenizer, SHORT)
    similar = [row["semantic_similarity"] for row in result.rows if row["stream"] == "forget"]
    assert result.values["forget/semantic_similarity"] == pytest.approx(sum(similar) / 3)
    assert "neighbour/semantic_similarity" in result.values
    assert suite.aggregate(json.loads(json.dumps(result.rows))) == result.values
    plain = Copyright(*[rows] * 4)
    assert "forget/semantic_similarity" not in plain.run(model, tokenizer, SHORT).values
    prints = {each.fingerprint(tokenizer, SHORT) for each in (plain, suite)}
    assert len(prints) == 2


def test_harmful_reports_the_classifier_s_judgement(classifier, rows):
    model, tokenizer = stub_model({"random_init": 1}), stub_tokenizer()
    suite = Harmful(rows, rows, rows, classifier=classifier, harmful_label="harmful")
    suite.check(tokenizer, SHORT)
    result = suite.run(model, tokenizer, SHORT)
    assert result.values["unseen/harmfulness"] == near(0.8)
    assert result.values["trained/harmful_rate"] == 1.0
    assert "normal/harmfulness" not in result.values
    assert suite.aggregate(json.loads(json.dumps(result.rows))) == result.values
    with pytest.raises(RecipeError, match="classifier and harmful_label go together"):
        Harmful(rows, classifier=classifier)
