"""Counts of what is cut from the texts of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unlearnkit.data.example import Example


@dataclass
class _Count:
    texts: int = 0
    cut: int = 0
    tokens: int = 0
    lost: int = 0
    dropped: int = 0


@dataclass
class Cuts:
    """Counts what a maximal length takes from the texts of each kind.

    Args:
        max_length: Longest sequence in tokens.

    Example:
        >>> cuts = Cuts(512)
        >>> cuts.add("members", kept=511, lost=1519)
        >>> cuts.add("members", kept=90)
        >>> cuts.notes()
        ['members: 1 of 2 texts is cut at max_length 512, which leaves out 1,519 of 2,120 tokens']
    """

    max_length: int
    _counts: dict[str, _Count] = field(default_factory=dict)

    def add(self, kind: str, kept: int, lost: int = 0) -> None:
        """Takes note of a text: the tokens that are left, and those that are not."""
        count = self._counts.setdefault(kind, _Count())
        count.texts += 1
        count.cut += lost > 0
        count.tokens += kept + lost
        count.lost += lost

    def drop(self, kind: str) -> None:
        """Takes note of a text that has too few tokens to be scored."""
        count = self._counts.setdefault(kind, _Count())
        count.texts += 1
        count.dropped += 1

    def notes(self) -> list[str]:
        """A sentence for each kind of which anything was cut, or left out."""
        notes: list[str] = []
        for kind, count in self._counts.items():
            if count.cut:
                verb = "is" if count.cut == 1 else "are"
                notes.append(
                    f"{kind}: {count.cut} of {count.texts} texts {verb} cut at max_length "
                    f"{self.max_length}, which leaves out {count.lost:,} of {count.tokens:,} tokens"
                )
            if count.dropped:
                verbs = ("has", "is") if count.dropped == 1 else ("have", "are")
                notes.append(
                    f"{kind}: {count.dropped} of {count.texts} texts {verbs[0]} no token that "
                    f"could be predicted, and {verbs[1]} left out"
                )
        return notes


def longer_than(
    probes: Mapping[str, Sequence[Example]], bound: int, *, compared_in_part: bool
) -> list[str]:
    """A sentence on the true texts that are longer than what may be generated, if any are.

    Args:
        probes: Examples by kind.
        bound: Tokens that may be generated.
        compared_in_part: Whether their first ``bound`` tokens alone are compared.
    """
    found = {
        kind: count
        for kind, examples in probes.items()
        if (count := sum(len(example.response_ids) > bound for example in examples))
    }
    if not found:
        return []
    listed = ", ".join(f"{n} of {len(probes[kind])} {kind}" for kind, n in found.items())
    what = "it is compared as far as that" if compared_in_part else "no answer can say it whole"
    return [f"{listed} rows have a true text longer than max_new_tokens {bound}; {what}"]
