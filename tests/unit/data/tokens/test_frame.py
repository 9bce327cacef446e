from __future__ import annotations

from stub import stub_tokenizer

from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.frame import Frame

A, B, C, D, EOS = 4, 5, 6, 7, 3


def test_answers_stand_in_the_frame_and_are_ended() -> None:
    codec = Codec(stub_tokenizer(), 16)
    assert Frame().tokens(codec, ["a", "bc"]) == [[A, EOS], [B, C, EOS]]
    assert Frame("d", "c").tokens(codec, ["a"]) == [[D, A, C, EOS]]
    assert Frame().end(codec) == (EOS,)


def test_answers_of_another_frame_get_this_one() -> None:
    codec = Codec(stub_tokenizer(), 16)
    assert Frame("d").instead(Frame(), codec, [(A, EOS)]) == [[D, A, EOS]]
    # One that the limit ended gets no end.
    assert Frame().instead(Frame(), codec, [(A, B)]) == [[A, B]]
