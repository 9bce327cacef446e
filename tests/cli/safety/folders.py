"""Model and adapter folders gone wrong, drawn by hypothesis."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.cli.safety.fuzzing import VALUES, places

_KINDS = ("flip", "zero", "cut", "drop", "swap", "insert", "retype", "remove", "header")
_NAMES = [
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "model_type", "r",
    "num_key_value_heads", "intermediate_size", "target_modules", "base_model_name_or_path",
    "architectures", "auto_map", "rope_parameters", "dtype", "quantization_config", "peft_type",
]  # fmt: skip
_NUMBERS = [0, -1, 10**7, 2**70, "16", 0.5, None, [], {}, True, "a/b", [[[]]], 1e308]


def broken(folder: Path, draw: Callable[[st.SearchStrategy[Any]], Any]) -> str:
    """Changes one file of a folder; says what was done to which."""
    files = sorted(each.name for each in folder.iterdir() if each.name != "digests.json")
    name = draw(st.sampled_from(files))
    file, kind = folder / name, draw(st.sampled_from(_KINDS))
    content = bytearray(file.read_bytes())
    if kind == "drop":
        file.unlink()
    elif kind == "cut":
        file.write_bytes(content[: draw(st.integers(0, len(content)))])
    elif kind == "swap":
        file.write_bytes((folder / draw(st.sampled_from(files))).read_bytes())
    elif kind in ("retype", "remove") and name.endswith(".json"):
        file.write_text(json.dumps(_retyped(json.loads(content), kind, draw)))
    elif kind == "header" and name.endswith(".safetensors"):
        (size,) = struct.unpack("<Q", content[:8])
        header = _retyped(json.loads(content[8 : 8 + size]), "retype", draw)
        text = json.dumps(header).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
    elif content:
        at = draw(st.integers(0, len(content) - 1))
        if kind == "zero":
            content[at : at + 200] = bytes(len(content[at : at + 200]))
        elif kind == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            content[at] ^= 1 << draw(st.integers(0, 7))
        file.write_bytes(content)
    return f"{kind} {name}"


def _retyped(tree: Any, kind: str, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    found = list(places(tree))
    if not found:
        return tree
    # Half of the time one of the keys that decide what is built.
    decisive = [each for each in found if each[-1] in _NAMES]
    *way, last = draw(st.sampled_from(decisive if decisive and draw(st.booleans()) else found))
    parent = tree
    for key in way:
        parent = parent[key]
    if kind == "remove":
        del parent[last]
    else:
        parent[last] = draw(st.one_of(st.sampled_from(_NUMBERS), VALUES))
    return tree
