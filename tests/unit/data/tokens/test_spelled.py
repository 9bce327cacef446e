from __future__ import annotations

from stub import stub_tokenizer

from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.spelled import SpelledOut
from unlearnkit.errors import Place


def test_rows_that_spell_control_tokens_are_counted_once_a_row(caplog) -> None:
    seen = SpelledOut("a.jsonl", Codec(stub_tokenizer(), 8))
    for line, text in enumerate(("a", "b<eos>", "<eos><bos>"), start=1):
        assert seen.see(text, Place(line, line)) is None
    seen.tell()
    assert "a.jsonl: 2 rows spell out the control tokens '<eos>', '<bos>'" in caplog.text
    assert "(line 2, 3)" in caplog.text


def test_or_refused(caplog) -> None:
    seen = SpelledOut("a.jsonl", Codec(stub_tokenizer(), 8, control_tokens="refuse"))
    assert seen.see("a", Place(1, 1)) is None
    problem = seen.see("b<eos>", Place(2, 2))
    assert problem is not None
    assert problem.found == "text with the control token '<eos>'"
    seen.tell()
    assert not caplog.text
