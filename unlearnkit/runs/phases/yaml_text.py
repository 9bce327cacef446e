"""YAML of recipes that is read again as what was written."""

from __future__ import annotations

import hashlib
from typing import Any

import yaml

from unlearnkit.plain import leaves, load_yaml
from unlearnkit.redact import HIDDEN, printable, redacted_values

MASKED = "stands for a secret that was masked; give the value that it had."


def dump_yaml(tree: Any) -> str:
    r"""A tree as YAML; text that a recipe's reader would take for something else is quoted.

    Example:
        >>> dump_yaml({"no": "no", "name": "1e3", "text": "plain"})
        "'no': 'no'\nname: '1e3'\ntext: plain\n"
    """
    text = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    # Between the double quotes that such text stands in, these are YAML's own escapes.
    return printable(text)


def without_secrets(text: str) -> str:
    r"""A recipe as it is kept: its text, or one with masked values if it holds secrets.

    Example:
        >>> without_secrets("path: https://me:word@host/x  # mine")
        'path: https://***@host/x\n'
    """
    tree = load_yaml(text)
    shown = redacted_values(tree)
    return text if shown == tree else dump_yaml(shown)


def with_checksums(text: str) -> str:
    r"""A recipe whose secrets are masked and still tell one value from another.

    The checksum has 16 bits: a changed secret is noticed, and none can be found from it.

    Example:
        >>> one, other = (with_checksums(f"api_key: {key}") for key in ("abc", "abd"))
        >>> one.startswith("api_key: '*** (checksum"), one == other
        (True, False)
    """
    tree = load_yaml(text)
    shown = _marked(tree, redacted_values(tree))
    return text if shown == tree else dump_yaml(shown)


def _marked(value: Any, shown: Any) -> Any:
    if value == shown:
        return shown
    if isinstance(value, dict) and isinstance(shown, dict) and len(value) == len(shown):
        pairs = zip(value.values(), shown.items(), strict=True)
        return {key: _marked(each, other) for each, (key, other) in pairs}
    if isinstance(value, list) and isinstance(shown, list):
        return [_marked(*pair) for pair in zip(value, shown, strict=True)]
    checksum = hashlib.sha256(repr(value).encode()).hexdigest()[:4]
    return f"{shown} (checksum {checksum})"


def masked_keys(tree: Any) -> list[str]:
    """Keys of a recipe whose values hold the mark of a masked secret.

    Example:
        >>> masked_keys({"data": {"path": "x?token=***", "batch_size": 2}})
        ['data.path']
    """
    return [key for key, value in leaves(tree) if HIDDEN in str(value)]


class _Dumper(yaml.SafeDumper):
    """Quotes text that is a number; writes out each time what stands in several places."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Quoted where it is a number: in YAML 1.1, by which the dumper quotes, 1e3 is none."""
        style = '"' if printable(data) != data else "'" if _is_number(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
