"""Renders a chat template once, in a child process with limits.

It is run as a file and imports nothing of the package, so that it starts at once.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from datetime import datetime
from typing import Any

RAN_AWAY = 3
"""Exit status of a template that wrote too much, or asked for too much memory."""
BROKEN = 4
"""Exit status of a template that is nested too deeply to be read."""
_GENERATION = re.compile(r"\{%[-+]?\s*(end)?generation\s*[-+]?%\}")
_MEMORY = 2**30


def render(template: str, conversations: list[dict[str, Any]], most: int) -> None:
    """Renders each conversation; errors that a template raises are its own affair.

    Args:
        template: In Jinja.
        conversations: Arguments of the template, once for each rendering.
        most: Characters that it may write.

    Raises:
        MemoryError: If it asks for too much memory, or writes too much.
        RecursionError: If it is nested too deeply.
    """
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["strftime_now"] = datetime.now().strftime
    try:
        compiled = environment.from_string(_GENERATION.sub("", template))
    except (MemoryError, RecursionError):
        raise
    except Exception:  # It is told where it is read.
        return
    for each in conversations:
        written = 0
        try:
            for part in compiled.generate(**each):
                written += len(part)
                if written > most:
                    raise MemoryError
        except (MemoryError, RecursionError):
            raise
        except Exception:  # A template is a program of its own and fails in its own ways.
            continue


def _tojson(value: Any, **given: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=given.get("indent"))


def main() -> int:
    """Reads template, conversations and limits from the standard input."""
    given = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    seconds = given["seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    try:
        render(given["template"], given["conversations"], given["most"])
    except MemoryError:
        return RAN_AWAY
    except (RecursionError, SystemError):
        return BROKEN
    return 0


if __name__ == "__main__":
    sys.exit(main())
