"""Recipes and data files gone wrong, drawn by hypothesis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

RECIPES = sorted((Path(__file__).parents[3] / "recipes").rglob("*.yaml"))

_NUMBERS = [0, -1, 1, 2**63, -(2**70), 0.5, 1e308, -1e-300, float("nan"), float("inf")]
_WORDS = [
    "", " ", "nan", "none", "auto", "tiny", "forget", "retain", "../../x", "/dev/null", "a b",
    "ä", "日本", "\u202e", "\x1b[2J", "[red]", "<script>", "%s", "{}", "npo", "qa", "os.system",
    "torch.nn.Linear", "unlearnkit", ".", "-", "a" * 5000,
]  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, False, *_NUMBERS, *_WORDS]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "class_path", "init_args", "path", "weight", "x", ""]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=5,
)
KEYS = st.sampled_from(
    ["weights", "Name", "beta", "gamma", "lora", "layout", "phases", "requests", "evaluate", "gold",
     "streams", "path", "limit", "batch_size", "r", "strategy", "precision", "", "0", "ä.b", "a.b",
     "accumulate_grad_batches", "overfit_batches", "limit_train_batches", "max_epochs", "max_steps",
     "max_time", "devices", "num_nodes", "gradient_clip_val", "num_workers", "max_length", "anchor",
     "seed", "trainable", "saliency", "init_lora_weights", "warmup", "schedule", "reference"]
)  # fmt: skip


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items if isinstance(node, dict | list) else ():
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


def _change(draw: st.DrawFn, recipe: dict[str, Any]) -> None:
    found = list(places(recipe))
    if not found:
        return
    *way, last = draw(st.sampled_from(found))
    parent: Any = recipe
    for key in way:
        parent = parent[key]
    kind = draw(st.sampled_from(["replace", "remove", "rename", "add", "move"]))
    if kind == "replace":
        parent[last] = draw(VALUES)
    elif kind == "remove":
        del parent[last]
    elif kind == "add" and isinstance(parent, dict):
        parent[draw(KEYS)] = draw(VALUES)
    elif kind == "rename" and isinstance(parent, dict):
        parent[draw(KEYS)] = parent.pop(last)
    elif kind == "move":
        recipe[str(last)] = parent[last]


@st.composite
def recipes(draw: st.DrawFn) -> str:
    """A recipe of the project with one to three changes, or with broken text."""
    text = draw(st.sampled_from(RECIPES)).read_text()
    kind = draw(st.sampled_from(["structure"] * 8 + ["cut", "insert"]))
    if kind == "cut":
        return text[: draw(st.integers(0, len(text)))]
    if kind == "insert":
        at = draw(st.integers(0, len(text)))
        broken = ["\t", ": ", "- ", "{", "&a *a", "!!python/name:os.system", "\x00", "<<: *b", "'"]
        return text[:at] + draw(st.sampled_from(broken)) + text[at:]
    recipe = yaml.safe_load(text)
    for _ in range(draw(st.integers(1, 3))):
        _change(draw, recipe)
    return yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False)


_TEXTS = st.one_of(st.sampled_from(_WORDS), st.text(st.characters(codec="utf-8"), max_size=12))
_ROWS = st.one_of(
    st.fixed_dictionaries({"prompt": _TEXTS, "response": _TEXTS}),
    st.fixed_dictionaries({"prompt": st.one_of(_TEXTS, VALUES), "response": VALUES}),
    VALUES,
)
_LINES = st.one_of(
    _ROWS.map(lambda row: json.dumps(row).encode()),
    _ROWS.map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")),
    st.binary(max_size=20),
    st.sampled_from([
        b"", b"{", b"[" * 3000, b'{"prompt": "a", "response": "\\ud800"}', b"\xef\xbb\xbf{}",
        b'{"prompt": "a", "prompt": "b", "response": "c"}', b'{"prompt": 1e999}', b"\x00", b"NaN",
        '{"prompt": "ä", "response": "c"}'.encode("utf-16"), b'"prompt","response"\n"a"',
    ]),
)  # fmt: skip
data_files = st.lists(_LINES, max_size=6).map(b"\n".join)
suffixes = st.sampled_from(["jsonl", "json", "csv", "tsv", "txt", "parquet", "yaml"])
