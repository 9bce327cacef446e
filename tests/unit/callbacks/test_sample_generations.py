from __future__ import annotations

import pytest

from unlearnkit.callbacks import SampleGenerations


@pytest.mark.parametrize(("every", "said"), [(0, ["at the end"]), (1, ["epoch 1", "epoch 2"])])
def test_continuations_are_shown_at_the_end_or_every_few_epochs(start, capsys, every, said) -> None:
    start(SampleGenerations(prompts=1, every_n_epochs=every, max_new_tokens=3), max_steps=6)
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("forget: continuations") == len(said)
    for words in said:
        assert words in shown
