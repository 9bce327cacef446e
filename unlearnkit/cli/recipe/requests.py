"""Expands ``requests:`` into phases, one for each forget file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unlearnkit.cli.recipe.document import Document, Mistake
from unlearnkit.cli.recipe.names import split_entry
from unlearnkit.cli.recipe.phase import REQUESTS, Layer, copied, fault_of_name
from unlearnkit.errors import RecipeError
from unlearnkit.families import STREAMS, SUITES, KeyPath, at
from unlearnkit.plain import told
from unlearnkit.suites.requests import KEPT

FORGET: KeyPath = (*STREAMS.place, "forget")
_BESIDE = "streams"
"""The key of a request under which it changes other streams."""


def of_requests(document: Document) -> Iterator[Layer | Mistake]:
    """A phase for each request, and what is wrong with them."""
    given = document.tree[REQUESTS]
    common = {key: value for key, value in document.tree.items() if key != REQUESTS}

    def wrong(path: KeyPath, message: str) -> Mistake:
        return Mistake(path, message, document.place(path))

    if isinstance(given, list):
        items: list[tuple[Any, str, Any]] = []
        for index, file in enumerate(given):
            stem = Path(file).stem if isinstance(file, str) else f"request-{index}"
            items.append((index, stem, file))
    elif isinstance(given, Mapping):
        items = [(name, str(name), each) for name, each in given.items()]
    else:
        items = []
    if not items:
        message = f"expected a list of files, or a mapping of names to files, found {told(given)}"
        yield wrong((REQUESTS,), message)
        return
    forget = at(common, FORGET)
    if forget is None:
        yield wrong(FORGET, "requests replace the path of this stream, and it is missing.")
        return
    names: list[str] = []
    streams: dict[str, dict[str, Any]] = {}
    beside: dict[str, dict[str, Any]] = {}
    others = {k: v for k, v in (at(common, STREAMS.place) or {}).items() if k != FORGET[-1]}
    for key, name, value in items:
        if name in KEPT:
            yield wrong((REQUESTS, key), f"'{name}' is the name of rows that are to stay.")
        if (fault := fault_of_name(name, names)) is not None:
            yield wrong((REQUESTS, key), f"{fault} Give names: `requests: {{name: file}}`.")
        names.append(name)
        if isinstance(value, str):
            value = {"path": value}
        if not isinstance(value, Mapping):
            message = f"expected a file, or keys of the forget stream, found {told(value)}"
            yield wrong((REQUESTS, key), message)
            continue
        more: Any = value.get(_BESIDE, {})
        value = {k: v for k, v in value.items() if k != _BESIDE}
        if (fault := _fault_beside(more, others)) is not None:
            yield wrong((REQUESTS, key, _BESIDE), fault)
            continue
        try:
            streams[name] = _entry(forget, value)
            beside[name] = {k: _entry(others[k], over, k) for k, over in more.items()}
        except RecipeError as error:
            yield wrong(FORGET, error.message)
            return
    evaluate = common.get("evaluate") or []
    evaluate = list(evaluate) if isinstance(evaluate, list) else [evaluate]
    suites = _with_requests(evaluate, streams)
    for key, name, value in items:
        if name in streams:
            tree = copied({**common, "evaluate": suites})
            tree["data"]["streams"] |= {FORGET[-1]: dict(streams[name]), **beside[name]}
            given = value if isinstance(value, Mapping) else {"path": value}
            own: set[KeyPath] = {(*FORGET, each) for each in given if each != _BESIDE}
            own |= {
                (*STREAMS.place, k, e) for k, over in given.get(_BESIDE, {}).items() for e in over
            }
            places = document.places | {path: document.place((REQUESTS, key)) for path in own}
            layer = Document(tree, document.name, places, choices=document.choices)
            yield Layer(name, (REQUESTS, key), layer, own)


def _entry(stream: Any, over: Mapping[str, Any], called: str = FORGET[-1]) -> dict[str, Any]:
    """A stream with other arguments, in the short form."""
    name, arguments = split_entry(stream)
    return {"name": name or called, **arguments, **over}


def _fault_beside(given: Any, streams: Mapping[str, Any]) -> str | None:
    """What is wrong with the other streams that a request changes."""
    if not isinstance(given, Mapping):
        return f"expected streams with the keys that the request changes, found {told(given)}"
    for name, over in given.items():
        if name not in streams:
            known = ", ".join(streams) or "none"
            return f"there is no stream '{name}' beside forget; there is {known}."
        if not isinstance(over, Mapping):
            return f"expected keys of the stream '{name}', found {told(over)}"
    return None


def _with_requests(evaluate: list[Any], streams: Mapping[str, Any]) -> list[Any]:
    """The suites, and the one of requests with all of them; its own arguments are kept."""
    found: list[Any] = []
    own: dict[str, Any] = {}
    for suite in evaluate:
        name, arguments = split_entry(suite)
        cls = SUITES.root.at_path(name or "")
        if name == REQUESTS or (cls is not None and cls.registered_name == REQUESTS):
            own = arguments
        else:
            found.append(suite)
    return [*found, {"name": REQUESTS, "streams": dict(streams), **own}]
