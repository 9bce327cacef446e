"""Options, defaults, registered names and exit codes are those that were written down."""

import subprocess
import sys
from pathlib import Path

import surface


def test_the_command_line_is_as_it_was():
    # In a process of its own: other tests register names.
    script = str(Path(surface.__file__))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nIf it is meant: {surface.RENEW}"


def test_what_a_user_may_have_scripted_is_in_it():
    stored = surface.STORED.read_text(encoding="utf-8")
    for line in (
        '   "--max_new_tokens": {\n    "type": "int",\n    "default": 64',
        '    "beta": ["float", 0.1]',
        '    "aliases": ["ga", "grad_ascent"]',
        '  "fit -r key.yaml": 2,',
    ):
        assert line in stored
    assert "unlearnkit." not in stored


def test_types_are_told_without_modules():
    from unlearnkit.data import Stream

    assert surface.shown(dict[str, Stream] | None) == "dict[str, Stream] | None"
