"""Keeps the scalars of a recipe as the user typed them."""

from __future__ import annotations

from typing import Any

from jsonargparse.typing import register_type

from unlearnkit.data.rows.where import Scalar, is_scalar


def keep_scalars() -> None:
    """Registers the type, once; the parser's own union would cast text."""
    register_type(
        Scalar,  # pyright: ignore[reportArgumentType]
        serializer=lambda value: value,
        deserializer=_scalar,
        type_check=lambda value, _: is_scalar(value),
        fail_already_registered=False,
    )


def _scalar(value: Any) -> Any:
    if not is_scalar(value):
        raise ValueError("expected text, a number, true, false or null")
    return value
