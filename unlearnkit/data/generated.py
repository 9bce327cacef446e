"""The backend that generates texts, for all that runs inside a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, TypeAlias

from unlearnkit.errors import RecipeError

BackendName: TypeAlias = Literal["hf", "continuous", "vllm"]
PACKAGES: dict[str, str] = {"hf": "transformers", "continuous": "transformers", "vllm": "vllm"}
"""The package that does the work, by backend."""


@dataclass(frozen=True)
class GenerationBackend:
    """What generates the texts of suites and of ``sampled`` streams.

    Args:
        backend: ``hf`` generates batch by batch with transformers; ``continuous`` is its
            continuous batching, in which the next prompt takes the place of one that has ended;
            ``vllm`` is vLLM, which reads the model from its folder.

    Raises:
        RecipeError: If there is no such backend.

    Example:
        >>> GenerationBackend("continuous").name
        'continuous'
    """

    backend: BackendName = "hf"

    def __post_init__(self) -> None:
        if self.backend not in PACKAGES:
            raise RecipeError(
                f"generation.backend: expected one of {', '.join(PACKAGES)}, found '{self.backend}'"
            )

    @property
    def name(self) -> str:
        """The backend's name."""
        return self.backend

    @property
    def version(self) -> str:
        """The version of the package that does the work."""
        try:
            return version(PACKAGES[self.backend])
        except PackageNotFoundError:
            return "unknown"

    @property
    def label(self) -> str:
        """Name, package and version, such as ``continuous (transformers 5.24.0)``."""
        return f"{self.backend} ({PACKAGES[self.backend]} {self.version})"

    def as_json(self) -> dict[str, str]:
        """As it stands in ``summary.json``."""
        return {
            "backend": self.backend,
            "package": PACKAGES[self.backend],
            "version": self.version,
        }


HF = GenerationBackend()
_chosen: ContextVar[GenerationBackend] = ContextVar("generation", default=HF)


def generating() -> GenerationBackend:
    """The backend that generates here; `HF` where none was chosen."""
    return _chosen.get()


@contextmanager
def generated_by(backend: GenerationBackend) -> Iterator[None]:
    """Has a backend generate inside the block.

    Example:
        >>> with generated_by(GenerationBackend("continuous")):
        ...     generating().name
        'continuous'
        >>> generating().name
        'hf'
    """
    token = _chosen.set(backend)
    try:
        yield
    finally:
        _chosen.reset(token)
