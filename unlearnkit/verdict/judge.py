"""Judges a run by the rules of the verdicts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from unlearnkit.verdict.attacked import attacked_rows
from unlearnkit.verdict.rules import Kind, Rule, Rules, Status, rules
from unlearnkit.verdict.values import MetricRow, Value

MOST = 3
"""Metrics that a verdict names at most."""
NO_GOLD = "No gold model was measured, so the starting model is what it was compared with."
NOT_ATTACKED = "Relearning not tested."
_KNOWN = 0.1
"""What speaks for forgetting, below which there was nothing to forget."""
_NAMED = ("before", "start", "after", "gold")
_LEAST_WAY = 0.1
"""Share by which gold has to differ from before, so that a way is there to go."""


class Found(NamedTuple):
    """A rule that holds of a metric."""

    rule: Rule
    row: MetricRow
    gap: float
    leads: bool = False
    """Whether its advice goes before that of other rules."""


class _Measured(NamedTuple):
    """What rules are held against."""

    rows: Sequence[MetricRow]
    gold: bool
    """Whether a gold model was measured."""
    teaching: bool
    """Whether the recipe only teaches."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on a run.

    Args:
        name: Such as ``near gold``.
        status: Whether that is good.
        means: What the verdict means.
        metrics: The two or three that decide, the worst first.
        next: What to change next.
        notes: What was not measured, and other remarks, a sentence each.
    """

    name: str
    status: Status
    means: str
    metrics: tuple[MetricRow, ...] = ()
    next: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with the metrics that decide."""
        values = "; ".join(f"{row.address} {values_of(row)}" for row in self.metrics)
        return f"{self.name}: {self.means}{f' ({values})' if values else ''}."

    def as_json(self) -> dict[str, Any]:
        """As it stands in ``summary.json``."""
        metrics = [
            {"metric": row.address, **{when: each.value for when, each in _named(row)}}
            for row in self.metrics
        ]
        return {
            "name": self.name,
            "status": self.status,
            "sentence": self.sentence,
            "metrics": metrics,
            "next": self.next,
            "notes": list(self.notes),
        }


def judge(
    rows: Sequence[MetricRow],
    attacks: Sequence[Mapping[str, Any]] = (),
    by: Rules | None = None,
    *,
    teaching: bool = False,
    objectives: Collection[str] = (),
) -> Verdict:
    """The verdict on a run.

    Args:
        rows: Metrics before and after, and of the gold model where there is one.
        attacks: Attacks on the model, as their files hold them.
        by: The rules; by default those of ``rules.yaml``.
        teaching: Whether the recipe only teaches, so that it was to forget nothing.
        objectives: Names of its objectives, which are not advised.
    """
    found = by or rules()
    gold = any("gold" in row.values for row in rows if row.meaning.forgets)
    has_relearned = any(attack["attack"] == "relearn" for attack in attacks)
    notes = [] if has_relearned else [NOT_ATTACKED]
    hardly = _hardly_known(rows)
    measured = _Measured(
        [*rows, *(row for attack in attacks for row in attacked_rows(attack))], gold, teaching
    )
    for kind in found.kinds:
        if hardly and kind.name == "not known":
            return _given(kind, [hardly], "", notes if gold else [NO_GOLD, *notes])
        held = _ordered(
            [
                each
                for rule in kind.rules
                if not (rule.yields and _any_held(found.kind(rule.yields), measured))
                for each in _held(rule, measured)
            ]
        )
        if held:
            if not gold:
                notes.insert(0, NO_GOLD)
            said = notes if kind.remarks else []
            what = held[0].rule.advice(objectives)
            return _given(kind, [each.row for each in held], what, said)
    main = _main(rows)
    if not any(row.meaning.forgets for row in main):
        return _given(found.kind("not judged"), main, "", notes)
    if gold:
        kind = found.kind("near gold")
        for rule in reversed(found.remarks):
            for each in _ordered([*_held(rule, measured)])[:1]:
                values = f"{each.row.address} {values_of(each.row)}"
                notes.insert(0, f"{rule.says}: {values}; {rule.advice(objectives)}.")
        return _given(kind, main, "", notes)
    return _given(found.kind("forgotten"), main, "", [NO_GOLD, *notes])


def values_of(row: MetricRow) -> str:
    """The values of a metric in words.

    Example:
        >>> from unlearnkit.suites.meaning import Meaning
        >>> row = MetricRow("muse", "forget/verbmem", Meaning(), {})
        >>> row.values.update(before=Value(1.0), after=Value(0.25))
        >>> values_of(row)
        '0.250, before 1.000'
    """
    values = dict(_named(row))
    others = ", ".join(f"{when} {Value(each.value)}" for when, each in values.items()
                       if when != "after")  # fmt: skip
    after = str(Value(values["after"].value)) if "after" in values else ""
    return ", ".join(part for part in (after, others) if part)


def _hardly_known(rows: Sequence[MetricRow]) -> MetricRow | None:
    """What says that the forget rows were not known before; None where anything says otherwise."""
    speak = [row for row in speaking(rows) if row.meaning.role == "forget"]
    told = [row for row in speak if row.direction == "down" and "before" in row.values]
    if not told or len(told) < len(speak):
        return None
    most = max(told, key=lambda row: row.values["before"].value)
    return most if most.values["before"].value < _KNOWN else None


def _given(kind: Kind, rows: Sequence[MetricRow], what: str, notes: Sequence[str]) -> Verdict:
    return Verdict(kind.name, kind.status, kind.means, tuple(rows), what or kind.next, tuple(notes))


def _named(row: MetricRow) -> Iterator[tuple[str, Value]]:
    for when in _NAMED:
        if when in row.values:
            yield when, row.values[when]


def _any_held(kind: Kind, measured: _Measured) -> bool:
    return any(True for rule in kind.rules for _ in _held(rule, measured))


def _held(rule: Rule, measured: _Measured) -> Iterator[Found]:
    """Metrics of which a rule holds."""
    if rule.teaching is not None and rule.teaching != measured.teaching:
        return
    for row in _looked_at(rule, measured.rows):
        if rule.without_gold and ("gold" in row.values if rule.attack else measured.gold):
            continue
        known = {when: each.value for when, each in row.values.items()}
        known |= _of_forget_rows(row, measured.rows)
        if (left := left_of(row)) is not None:
            known["left"] = left
        if rule.when.holds(known) and not (rule.unless and rule.unless.holds(known)):
            before = row.values.get("before")
            if rule.measurable and before is not None and before.interval is not None:
                low, high = before.interval
                if low <= known["after"] <= high:
                    continue
            leads = bool(rule.leads and rule.leads.holds(known))
            yield Found(rule, row, rule.when.gap(known), leads)


def _of_forget_rows(row: MetricRow, rows: Sequence[MetricRow]) -> dict[str, float]:
    """The largest values of the same metric on forget rows of the suite; 0 without any."""
    same = [
        r for r in rows if (r.suite, r.metric, r.meaning.role) == (row.suite, row.metric, "forget")
    ]
    before = [each.values["before"].value for each in same if "before" in each.values]
    left = [share for each in same if (share := left_of(each)) is not None]
    return {"forget_before": max(before, default=0.0), "forget_left": max(left, default=0.0)}


def _looked_at(rule: Rule, rows: Sequence[MetricRow]) -> list[MetricRow]:
    if rule.attack:
        return [row for row in rows if row.suite in rule.attack and row.name in rule.metric]
    able = [row for row in rows if row.meaning.role is not None]
    if rule.headline:
        able = speaking(able)
    if rule.metric:
        able = [row for row in able if any(fnmatchcase(row.metric, m) for m in rule.metric)]
    if rule.direction:
        able = [row for row in able if row.direction == rule.direction]
    for group in rule.roles:
        if found := [row for row in able if row.meaning.role in group]:
            return found
    return []


def speaking(rows: Sequence[MetricRow]) -> list[MetricRow]:
    """Metrics that speak for their stream: its headlines, or where it has none all that judge."""
    streams: dict[tuple[str, str], list[MetricRow]] = {}
    for row in rows:
        if row.direction is not None and row.meaning.judges:
            streams.setdefault((row.suite, row.stream), []).append(row)
    found: list[MetricRow] = []
    for part in streams.values():
        found += [row for row in part if row.meaning.headline] or part
    return found


def left_of(row: MetricRow) -> float | None:
    """Share of the way from gold to before that is left; None without a way.

    A value in the 95 % interval of the gold model's cannot be told from it: 0 is left.
    """
    if not {"before", "after", "gold"} <= row.values.keys():
        return None
    before, after, gold = (row.values[when] for when in ("before", "after", "gold"))
    level = row.meaning.gold_level
    if level is not None:
        return None if before.value >= level else float(after.value < level)
    way = before.value - gold.value
    if abs(way) <= _LEAST_WAY * max(abs(before.value), abs(gold.value)):
        return None
    if gold.interval is not None and gold.interval[0] <= after.value <= gold.interval[1]:
        return 0.0
    return (after.value - gold.value) / way


def _ordered(found: Sequence[Found]) -> list[Found]:
    """What held, the rule whose advice is given first; at most `MOST`, a metric once.

    That is the first rule that leads, or else the first of all. Behind its worst metric stand the
    worst of each other rule, then the rest.
    """
    by_rule: dict[int, list[Found]] = {}
    for each in found:
        by_rule.setdefault(id(each.rule), []).append(each)
    worst = [max(each, key=lambda one: one.gap) for each in by_rule.values()]
    advised = next((each for each in worst if each.leads), worst[0] if worst else None)
    rest = sorted(found, key=lambda each: -each.gap)
    others = sorted(worst, key=lambda each: -each.gap)
    kept: dict[str, Found] = {}
    for each in [*([advised] if advised else ()), *others, *rest]:
        kept.setdefault(each.row.address, each)
    return list(kept.values())[:MOST]


def _main(rows: Sequence[MetricRow]) -> list[MetricRow]:
    """What speaks for forgetting, and what was kept least, of those before and after."""
    measured = [row for row in speaking(rows) if {"before", "after"} <= row.values.keys()]
    forgets = [row for row in measured if row.meaning.forgets]
    forgets = [row for row in forgets if left_of(row) is not None] or forgets
    kept = [row for row in measured if not row.meaning.forgets and row.direction == "up"]
    shown = sorted(forgets, key=lambda row: -row.meaning.headline)[:1]
    # A p-value says little by itself.
    others = [r for r in forgets if r.meaning.gold_level is None and r not in shown]
    shown += others[: 2 - len(shown)]
    lost = [row for row in kept if row.values["before"].value > 0]
    share = {id(r): r.values["after"].value / r.values["before"].value for r in lost}
    return [*shown, *sorted(lost, key=lambda row: share[id(row)])[:1]]
