"""Every causal language model family of transformers: packed, in rows, or not built, and why.

`families.json` is what was found. After a new version of transformers, look at the differences and
write it anew: ``PYTHONPATH=.:tests python tests/conformance/test_families.py``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from architectures import CONFIGS, PACKED, VOCABULARY, tiny_model
from families import FAMILIES, takes_windows, tiny_family
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Layout, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.attention_choice import observed_needs
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.layout import choose_layout, declared_refusal
from unlearnkit.errors import RecipeError
from unlearnkit.models.check import check_whole
from unlearnkit.models.load import load_model

LIST = Path(__file__).with_name("families.json")
KNOWN: dict[str, str] = json.loads(LIST.read_text(encoding="utf-8")) if LIST.exists() else {}


@cache
def _rows() -> StreamBatch:
    """Rows of 2 to 16 tokens; the first three prompts have two responses."""
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())

    prompts = [ids(length) for length in (7, 1, 4, 2)]
    pairs = [
        (prompts[i], ids(n)) for i, n in ((0, 9), (0, 2), (1, 1), (1, 8), (2, 5), (2, 6), (3, 7))
    ]
    examples = tuple(Example(*pair, row, "f") for row, pair in enumerate(pairs))
    return StreamBatch(examples, 1, 1)


def _logps(model: PreTrainedModel, layout: Layout) -> Tensor:
    batch = pack({"rows": _rows()}, layout)
    return ForwardPass(model, Head(model), batch).logps(torch.arange(len(batch.target)))


def _plain_logps(model: PreTrainedModel) -> Tensor:
    """By transformers itself, one row at a time."""
    found: list[Tensor] = []
    for prompt, response, *_ in _rows().examples:
        logits = model(input_ids=torch.tensor([[*prompt, *response]]), use_cache=False).logits[0]
        logps = logits[len(prompt) - 1 : -1].float().log_softmax(-1)
        found.append(logps.gather(1, torch.tensor(response)[:, None])[:, 0])
    return torch.cat(found)


def _differ(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _equal(one: Tensor, other: Tensor, name: tuple[str, bool], layout: str) -> bool:
    """Whether values are equal; those of a float64 model, to 1e-6, where float32 cannot tell.

    A recurrent stack such as Dory's enlarges rounding to 4e-4, whose part depends on the processor.
    """
    if _differ(one, other) < 1e-5:
        return True
    model = tiny_family(*name).double()
    plain = _plain_logps(model)
    if layout == "packed":
        use_tree_attention(model)
    return _differ(_logps(model, layout), plain) < 1e-6


@torch.no_grad()
def _found(family: str, windows: bool) -> str:
    """What is found of a family, after its values were compared with those of transformers."""
    name = (family, windows)
    try:
        model = tiny_family(family, windows)
        plain = _plain_logps(model)
    except Exception as error:
        return f"not built: {type(error).__name__}"
    try:
        layout, reason = choose_layout(model, "auto")
        rows = _logps(model, "rows")
    except RecipeError as refusal:
        return f"refused: {_shortened(refusal.message)}"
    assert _equal(rows, plain, name, "rows"), "rows in a batch have other values than alone"
    if layout == "packed":
        use_tree_attention(model)
        packed = _logps(model, "packed")
        assert _equal(packed, plain, name, "packed"), "packed rows have other values"
        assert observed_needs(model), "no attention was seen"
        assert torch.equal(_logps(model, "packed"), packed), "looking on has changed it"
        return layout
    if declared_refusal(model) is None and "does not run" not in reason:
        use_tree_attention(model)
        assert _differ(_logps(model, "packed"), plain) > 1e-4, "it could have been packed"
    return f"{layout}: {_shortened(reason)}"


def _shortened(reason: str) -> str:
    """Without numbers, which differ from machine to machine."""
    return reason.removeprefix("model.base: ").split(" by ")[0].split(" (")[0][:110]


def _names() -> dict[str, tuple[str, bool]]:
    found = {family: (family, False) for family in FAMILIES}
    return found | {f"{family}, windows": (family, True) for family in FAMILIES if _windows(family)}


def _windows(family: str) -> bool:
    try:
        return takes_windows(family)
    except Exception:  # what is not built says so in `_found`
        return False


def _is_saved(name: str) -> bool:
    """Whether transformers loads what it saved; of two families it does not know the text part."""
    return "," not in name and name not in {"emu3", "mllama"} and "not built" not in KNOWN[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)  # not `_names()`, which builds 400 configs
def test_a_family_is_as_it_was(name: str) -> None:
    family, _, windows = name.partition(", ")
    found = _found(family, bool(windows))
    if not KNOWN[name].startswith("not built: ImportError"):  # it needs a package that may be there
        assert found == KNOWN[name]


@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name in KNOWN if _is_saved(name)])
def test_a_saved_model_lacks_nothing(family: str, tmp_path: Path) -> None:
    """Shared weights, converted experts and buffers are none of those that are missing."""
    model = tiny_family(family)
    model.save_pretrained(tmp_path)
    check_whole(str(tmp_path))
    loaded = load_model(str(tmp_path)).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


@pytest.mark.slow
def test_the_packed_set_does_not_shrink() -> None:
    """The stored list is what the families above are compared with; this is what it must keep."""
    kinds = [value.split(":")[0] for value in KNOWN.values()]
    assert kinds.count("packed") >= 115
    assert len(kinds) - kinds.count("not built") >= 190
    assert KNOWN.keys() == _names().keys()


@pytest.mark.parametrize("name", CONFIGS)
def test_the_architectures_of_the_other_tests_stay_packed(name: str) -> None:
    layout, _ = choose_layout(tiny_model(name), "auto")
    assert layout == ("packed" if name in PACKED else "rows")


if __name__ == "__main__":
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(1)
    every = {name: _found(*which) for name, which in sorted(_names().items())}
    LIST.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    for name, value in every.items():
        if KNOWN.get(name) != value:
            print(f"{name}: {KNOWN.get(name)} -> {value}")
