"""Makes and reads the models of the zoo, each once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from benchmarks.meta import facts as data
from benchmarks.meta.kinds import BASE, KINDS, NOISE, QUICK, Kind
from benchmarks.meta.readings import Reader, Reading
from benchmarks.meta.training import trained
from unlearnkit.attacks.quantize import round_weights
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.objectives.likelihood import NLL
from unlearnkit.runs.export import save_model

START = "tiny/tofu_power/gold"
BITS = 4
HELD = tuple(range(0, data.FACTS, 4))
"""Facts that the attacker trains on."""
OTHERS = tuple(i for i in range(data.FACTS) if i not in HELD)
RELEARNING = {"steps": 20, "lr": 3e-4, "warmup": 0, "schedule": "constant"}
AS_IS, COARSE, RELEARNED = "as it is", "coarse", "relearned"
STATES = (AS_IS, COARSE, RELEARNED)


@dataclass(frozen=True)
class Member:
    """One model of the zoo.

    Args:
        kind: Its kind's name.
        seed: Which one of the kind.
    """

    kind: str
    seed: int

    @property
    def name(self) -> str:
        """Kind and seed."""
        return f"{self.kind}-{self.seed}"

    @property
    def made(self) -> Kind:
        """How it is made."""
        return KINDS[self.kind]


BEFORE = Member("plain", 0)
GOLD = Member("gold", 0)


def members(quick: bool = False) -> list[Member]:
    """The models, those first that others begin with."""
    return [
        Member(name, seed)
        for name, kind in KINDS.items()
        if not quick or name in ("gold", *QUICK)
        for seed in range(1 if quick else kind.seeds)
    ]


class Zoo:
    """Models in a folder, made and read when they are first asked for.

    A model or a reading appears in the folder whole or not at all, so that the same command goes
    on after a stop. What was made by other settings is made anew.

    Args:
        folder: The folder; outside the repository, about 7 MB a model.
        told: Called with a line about each thing that is made.
    """

    def __init__(self, folder: Path, told: Callable[[str], None] = print) -> None:
        self.folder, self.told = folder, told

    def base(self) -> Path:
        """What all models begin with, its adapter merged."""
        return self._made(BASE, repr(START), lambda: load_model(BaseModel(START, dtype="float32")))

    def model(self, member: Member) -> Path:
        """The folder of a model."""
        begun = _start(member)
        start = self.model(begun) if begun else self.base()
        make = partial(member.made.make, str(start), _seed(member))
        return self._made(member.name, _known(member), make)

    def reading(self, member: Member, state: str = AS_IS) -> Reading:
        """What a model gives as it is, with coarse weights, or after relearning."""
        others = [_known(BEFORE), _known(GOLD), RELEARNING, BITS, HELD]
        digest = _digest(repr((_known(member), *others)))
        file = self.folder / "readings" / f"{member.name}.{state.replace(' ', '-')}.json"
        try:
            found = json.loads(file.read_text("utf-8"))
            if found["digest"] == digest:
                return found
        except (OSError, ValueError, KeyError, TypeError):
            pass
        reader, own = self._reader, member.made.half == "unlearned"
        before = self._loaded(Member("plain", member.seed)) if own else None
        self.model(member)
        started = time.process_time()  # what was made until here has its own cost
        found = reader.read(self._in_state(member, state), before)
        found |= {"digest": digest, "seconds": round(time.process_time() - started, 1)}
        _write(file, json.dumps(found))
        self.told(f"read {member.name}, {state}: {found['seconds']} s")
        return found

    def seconds(self) -> float:
        """Seconds of the processor that models and readings of the folder took."""
        files = [*self.folder.glob("models/*.made.json"), *self.folder.glob("readings/*.json")]
        return sum(json.loads(file.read_text("utf-8"))["seconds"] for file in files)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(str(self.base()), self._loaded(BEFORE), self._loaded(GOLD))

    def _loaded(self, member: Member) -> Any:
        return load_model(BaseModel(str(self.model(member)), dtype="float32"))

    def _in_state(self, member: Member, state: str) -> Any:
        if state == RELEARNED:
            held = [data.facts()[i].wordings[0] for i in HELD]
            return trained(str(self.model(member)), {"forget": NLL()},
                           {"forget": data.stream(held)}, seed=0, **RELEARNING)  # fmt: skip
        model = self._loaded(member)
        if state == COARSE:
            round_weights(model, BITS)
        return model

    def _made(self, name: str, known: str, make: Callable[[], Any]) -> Path:
        target = self.folder / "models" / name
        note = self.folder / "models" / f"{name}.made.json"
        digest = _digest(known)
        try:
            if json.loads(note.read_text("utf-8"))["digest"] == digest and target.is_dir():
                return target
        except (OSError, ValueError, KeyError, TypeError):
            pass
        shutil.rmtree(target, ignore_errors=True)
        started = time.process_time()
        model = make()
        save_model(model, load_tokenizer(START), target)
        seconds = round(time.process_time() - started, 1)
        _write(note, json.dumps({"digest": digest, "seconds": seconds}))
        self.told(f"made {name}: {seconds} s")
        return target


def wanted(all_of_them: Sequence[Member]) -> Iterator[tuple[Member, str]]:
    """Models and states that are read, the indispensable ones first."""
    yield from ((member, AS_IS) for member in all_of_them)
    attacked = [m for m in all_of_them if m.made.half in ("unlearned", "gold")]
    yield from ((m, s) for m in attacked for s in (COARSE, RELEARNED))
    yield from ((m, RELEARNED) for m in all_of_them if m not in attacked)


def _start(member: Member) -> Member | None:
    """What a model begins with; None for the base of all."""
    kind = member.made.start
    return None if kind == BASE else Member(kind, member.seed % KINDS[kind].seeds)


def _known(member: Member) -> str:
    """What a model is made by, as text; what it begins with is a part of it."""
    own, start = (member, member.made.settings, NOISE, data.FACTS), _start(member)
    return repr(own if start is None else (*own, _known(start)))


def _seed(member: Member) -> int:
    """Another one for each kind, so that no two models see the same rows in the same order.

    A new kind goes last, for the seeds of the others to stay.
    """
    return 1000 * list(KINDS).index(member.kind) + member.seed


def _digest(known: str) -> str:
    return hashlib.sha256(known.encode()).hexdigest()[:16]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
