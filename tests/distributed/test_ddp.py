"""Two processes on the CPU train as one does (case 31)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from processes import run_ranks
from rounding import near
from rows import UNEQUAL
from two_ranks import main

METHOD = ("gradient_ascent=forget", "random_mismatch=mismatch", "retain_kl=retain")


def _fit(out: Path, folder: Path, devices: int, batch_size: int, accumulate: int, *names: str):
    out.mkdir()
    arguments = map(str, (out, devices, batch_size, accumulate, folder))
    for done in run_ranks(devices, main, *arguments, *names):
        assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in sorted(out.glob("rank*.json"))]


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory, written):
    out = tmp_path_factory.mktemp("ddp")
    return _fit(out / "two", written(**UNEQUAL), 2, 1, 1, *METHOD)


def test_ranks_share_each_pass_between_them(two_ranks) -> None:
    first, second = ([row for step in rank["rows"] for row in step["retain"]] for rank in two_ranks)
    assert len(first) == len(second) == 4
    assert sorted(first + second) == list(range(8))
    forget = [row for rank in two_ranks for step in rank["rows"][:2] for row in step["forget"]]
    assert sorted(forget) == list(range(4))


def test_two_processes_train_as_one_with_twice_the_batch(two_ranks, tmp_path, written) -> None:
    (one,) = _fit(tmp_path / "one", written(**UNEQUAL), 1, 2, 1, *METHOD)
    assert two_ranks[0]["weights"] == two_ranks[1]["weights"]
    assert two_ranks[0]["weights"] == near(one["weights"], size=4.0)
    for step, whole in enumerate(one["figures"]):
        for key in ("gradient_ascent", "random_mismatch", "retain_kl"):
            mean = sum(rank["figures"][step][key] for rank in two_ranks) / 2
            assert mean == near(whole[key], size=4.0)
    # What is logged is the whole step's, on both.
    assert two_ranks[0]["steps"] == two_ranks[1]["steps"]
    assert len(one["steps"]) == len(two_ranks[0]["steps"]) == 4
    for ours, whole in zip(two_ranks[0]["steps"], one["steps"], strict=True):
        assert ours == near(whole, size=4.0)


@pytest.mark.parametrize("reference", ["frozen", "cached", "adapter_off"])
def test_two_processes_train_in_parts_as_one_does_at_once(reference, tmp_path, written) -> None:
    names = (*METHOD, f"reference={reference}")
    folder = written(**UNEQUAL)
    two = _fit(tmp_path / "two", folder, 2, 1, 1, *names, "parts=4")
    (one,) = _fit(tmp_path / "one", folder, 1, 2, 1, *names)
    assert two[0]["weights"] == two[1]["weights"]
    assert two[0]["weights"] == near(one["weights"], size=4.0)
    for ours, whole in zip(two[0]["steps"], one["steps"], strict=True):
        assert ours == near(whole, size=4.0)


def test_a_rank_without_a_forget_row_takes_part(tmp_path) -> None:
    """Three forget rows on two ranks: the last step leaves one rank without any."""
    for name, rows in (("forget", "cab"), ("retain", "abcde")):
        lines = [json.dumps({"prompt": "a", "response": letter * 2}) for letter in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    two = _fit(tmp_path / "two", tmp_path, 2, 1, 1, "gradient_ascent=forget")
    (one,) = _fit(tmp_path / "one", tmp_path, 1, 2, 1, "gradient_ascent=forget")
    assert [len(step["forget"]) for step in two[1]["rows"]] == [1, 0, 1, 0]
    assert two[0]["weights"] == near(one["weights"], size=4.0)


def test_two_processes_train_the_same_part_of_the_weights(tmp_path, written) -> None:
    folder, names = written(**UNEQUAL), ("npo=forget", "saliency=0.3")
    two = _fit(tmp_path / "two", folder, 2, 1, 1, *names)
    (one,) = _fit(tmp_path / "one", folder, 1, 2, 1, *names)
    (start,) = _fit(tmp_path / "start", folder, 1, 2, 1, "npo=forget", "saliency=0.3", "lr=0")
    assert two[0]["weights"] == two[1]["weights"]
    moved = [
        [now != before for now, before in zip(run["weights"], start["weights"], strict=True)]
        for run in (two[0], one)
    ]
    assert moved[0] == moved[1]
    assert 0.2 < sum(moved[0]) / len(moved[0]) < 0.31


def test_the_first_of_two_processes_samples_for_both(tmp_path, written) -> None:
    folder = written(**UNEQUAL)
    two = _fit(tmp_path / "two", folder, 2, 1, 1, "d2o=forget")
    (one,) = _fit(tmp_path / "one", folder, 1, 2, 1, "d2o=forget")
    (ours,), (theirs,) = ((tmp_path / n / "samples").glob("*.jsonl") for n in ("two", "one"))
    assert ours.read_text() == theirs.read_text()
    assert two[0]["weights"] == two[1]["weights"]
    assert two[0]["weights"] == near(one["weights"], size=4.0)


@pytest.mark.parametrize("parts", [(), ("parts=4",)], ids=["whole", "parts"])
def test_two_processes_take_the_robust_gradient_of_one(parts, tmp_path, written) -> None:
    """SAM's ascent follows the gradient of all rows, of which each process has some."""
    folder, names = written(**UNEQUAL), ("npo=forget", "retain_nll=retain")
    two = _fit(tmp_path / "two", folder, 2, 1, 1, *names, "robust=sam", *parts)
    (one,) = _fit(tmp_path / "one", folder, 1, 2, 1, *names, "robust=sam")
    (plain,) = _fit(tmp_path / "plain", folder, 1, 2, 1, *names)
    assert two[0]["weights"] == two[1]["weights"]
    assert two[0]["weights"] == near(one["weights"], size=4.0)
    assert two[0]["weights"] != near(plain["weights"], size=4.0)


@pytest.mark.slow
@pytest.mark.ranks
def test_two_processes_share_steps_of_64_rows_as_one_takes_them(tmp_path, written) -> None:
    """Steps of 64 and of 32 rows of many lengths, whole and in parts."""

    codes = [f"{'abcde'[n // 25]}{'abcde'[n // 5 % 5]}{'abcde'[n % 5]}" for n in range(96)]
    rows = [f"{'e' * (n % 4)}{code}:{(code * 3)[: 1 + n % 7]}" for n, code in enumerate(codes)]
    kept = [f"eeee{row}" for row in reversed(rows)]
    folder = written(forget=" ".join(rows), retain=" ".join(kept))
    (one,) = _fit(tmp_path / "one", folder, 1, 64, 1, *METHOD)
    assert [len(step["forget"]) for step in one["rows"]] == [64, 32] * 2
    for name, words in (("whole", ()), ("parts", ("parts=200",))):
        two = _fit(tmp_path / name, folder, 2, 32, 1, *METHOD, *words)
        assert two[0]["weights"] == two[1]["weights"]
        assert two[0]["weights"] == near(one["weights"], size=4.0)
        for ours, whole in zip(two[0]["steps"], one["steps"], strict=True):
            assert ours == near(whole, size=4.0)
    faulty = _fit(tmp_path / "faulty", folder, 2, 32, 1, *METHOD, "fault=own")
    assert faulty[0]["weights"] != near(one["weights"], size=4.0)
