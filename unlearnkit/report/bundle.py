"""The charting library's script, bundled once and kept between processes."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.metadata import version

import vl_convert

from unlearnkit.data.tokens.kept import cache_folder
from unlearnkit.errors import UserError
from unlearnkit.files import digest_of, write_text

VEGA_LITE = "6.4"
"""That which Altair writes specifications for."""


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, all from the package vl-convert.

    It takes seconds to make, so it is kept in `cache_folder`. A kept file that is not as it was
    written is made anew, and a folder that cannot be written to is no error.
    """
    folder = cache_folder()
    if folder is None:
        return _made()
    file = folder / "scripts" / f"vega-lite-{VEGA_LITE}-{version('vl-convert-python')}.js"
    with suppress(OSError, ValueError):
        # Bytes: a script's newlines count for its digest.
        digest, _, text = file.read_bytes().decode("utf-8").partition("\n")
        if digest == digest_of(text.encode()):
            return text
    made = _made()
    with suppress(OSError, UserError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, f"{digest_of(made.encode())}\n{made}")
    return made


def _made() -> str:
    return vl_convert.javascript_bundle(None, VEGA_LITE)  # pyright: ignore[reportArgumentType]
