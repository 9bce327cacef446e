"""YAML of recipes that is read again as what was written."""

from __future__ import annotations

from typing import Any

import yaml

from unlearnkit.plain import load_yaml
from unlearnkit.redact import redacted_values


def dump_yaml(tree: Any) -> str:
    r"""A tree as YAML; text that a recipe's reader would take for something else is quoted.

    Example:
        >>> dump_yaml({"no": "no", "name": "1e3", "text": "plain"})
        "'no': 'no'\nname: '1e3'\ntext: plain\n"
    """
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def without_secrets(text: str) -> str:
    r"""A recipe as it is kept: its text, or one with masked values if it holds secrets.

    Example:
        >>> without_secrets("path: https://me:word@host/x  # mine")
        'path: https://***@host/x\n'
    """
    tree = load_yaml(text)
    shown = redacted_values(tree)
    return text if shown == tree else dump_yaml(shown)


class _Dumper(yaml.SafeDumper):
    """Quotes text that is a number; writes out each time what stands in several places."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Quoted where it is a number: in YAML 1.1, by which the dumper quotes, 1e3 is none."""
        style = "'" if _is_number(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
