"""A tokenizer is read once, and again where its folder has become another."""

from __future__ import annotations

from stub import stub_tokenizer

from unlearnkit.models.base import load_tokenizer


def test_one_path_may_lead_to_several_tokenizers(tmp_path, monkeypatch) -> None:
    for name in ("one", "other"):
        stub_tokenizer().save_pretrained(tmp_path / name / "model")
    larger = stub_tokenizer()
    larger.add_tokens(["more"])
    larger.save_pretrained(tmp_path / "other" / "model")
    monkeypatch.chdir(tmp_path / "one")
    first = load_tokenizer("model")
    assert load_tokenizer("model") is first
    monkeypatch.chdir(tmp_path / "other")
    assert len(load_tokenizer("model")) == len(first) + 1
    monkeypatch.chdir(tmp_path / "one")
    larger.save_pretrained(tmp_path / "one" / "model")
    assert len(load_tokenizer("model")) == len(first) + 1
