"""The script that runs a published benchmark, with a program in place of unlearnkit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from unlearnkit.cli.recipe.build_phases import PhasedRecipe, recipe_of
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import read_command_line
from unlearnkit.cli.recipe.shipped import shipped

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools/reproduce.sh"
CORPORA = ("news", "books")
# What each word trains: choices and their values.
TRAINED = {
    "tofu": {"split": ("forget01", "forget05", "forget10"), "method": None},
    "muse": {"corpus": CORPORA, "method": None},
    "muse-scal": {
        "corpus": CORPORA,
        "folds": ("scal1", "scal2", "scal3", "scal4"),
        "method": None,
    },
    "muse-sust": {"corpus": CORPORA, "folds": ("sust",), "method": None},
    "wmdp": {"domain": ("cyber", "bio")},
    "rwku": {"method": None},
}
WITH_TABLE = ("tofu", "muse")
# Writes what a run leaves: a checkpoint, or all of it, or a summary of one that was not measured.
STAND_IN = """\
#!/bin/sh
echo "$*" >> calls
[ "$1 ${4-}" != "compare published/tofu" ] || exit "${LACKS-0}"
[ "$1" = fit ] || exit 0
[ -z "${STOP-}" ] || [ "$(grep -c ^fit calls)" -lt "$STOP" ] || stop=1
run="$5/$3/2026-01-0$(grep -c ^fit calls)"
mkdir -p "$run/checkpoints"
if [ -z "${stop-}" ]; then
    echo '{"suites": {"s": {"before": {}, "after": {}}}}' > "$run/summary.json"
else
    case $LEAVES in
        checkpoint) : > "$run/checkpoints/interrupted.ckpt" ;;
        shards) mkdir "$run/checkpoints/interrupted.ckpt" ;;
        phase) mkdir "$run/first" && : > "$run/first/summary.json" ;;
        unmeasured) echo '{"suites": {"s": {"before": {}}}}' > "$run/summary.json" ;;
    esac
    exit 130
fi
"""


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    """Runs the script in an empty folder; gives its result and the calls that it made."""
    program = tmp_path / "bin/unlearnkit"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    calls = tmp_path / "calls"
    found_by = f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    def run(*words: str, **settings: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        calls.write_text("")
        done = subprocess.run(
            ["sh", str(SCRIPT), *words],
            cwd=tmp_path,
            env={**os.environ, "PATH": found_by, **settings},
            capture_output=True,
            text=True,
        )
        return done, calls.read_text().splitlines()

    return run


def _dry(reproduce, *words: str) -> list[list[str]]:
    """What the script would run, each command in its words, without the program's name."""
    done, calls = reproduce(*words)
    assert done.returncode == 0, done.stderr
    assert not calls
    assert done.stderr == ""
    return [line.split()[1:] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", TRAINED)
def test_one_command_runs_every_method_of_a_benchmark(reproduce, name) -> None:
    recipe = f"published/{name.partition('-')[0]}"
    choices = yaml.safe_load(shipped()[recipe].read_text("utf-8"))["choices"]
    commands = _dry(reproduce, name.upper(), "--dry")
    asked = [dict(zip(w[1::2], w[2::2], strict=True)) for w in commands if w[0] == "fit"]
    assert {each["--recipe"] for each in asked} == {recipe}
    given = {choice: values or tuple(choices[choice]) for choice, values in TRAINED[name].items()}
    combinations = 1
    for choice, values in given.items():
        combinations *= len(values)
        assert {each[f"--{choice}"] for each in asked} == set(values)
    assert len({tuple(each.items()) for each in asked}) == len(asked) == combinations
    assert len({each["--run_dir"] for each in asked}) == len(asked)
    # Of the recipe's choices it leaves out folds and sizes, which have words of their own.
    assert choices.keys() - given.keys() <= {"folds", "size"}
    compared = [words for words in commands if words[0] == "compare"]
    assert all(("--expected" in words) is (name in WITH_TABLE) for words in compared)
    assert {words[1] for words in compared} == {
        each["--run_dir"].rpartition("/")[0] for each in asked
    }


def test_the_commands_are_right(reproduce) -> None:
    """Each value of each choice of a recipe at least once."""
    seen: dict[str, set[str]] = {}
    for name, choices in TRAINED.items():
        for words in _dry(reproduce, name, "--dry"):
            if words[0] != "fit":
                continue
            known = seen.setdefault(words[2], set())
            if new := set(words[5:]) - known:  # behind verb, recipe and folder
                known |= new
                line = read_command_line(words[1:])
                built = recipe_of(read(line.recipes), line.overrides, "validate", print_only=False)
                assert isinstance(built, PhasedRecipe) is (name == "muse-sust")
        assert {each for values in choices.values() for each in values or ()} <= known


def test_options_go_to_each_run_and_name_a_folder(reproduce) -> None:
    plain, large, adapter = (
        _dry(reproduce, "tofu", *options)
        for options in (
            ["--dry"],
            ["--size", "8b", "--dry"],
            ["--dry", "--model.lora", "{r: 16, target_modules: all-linear}"],
        )
    )
    for words in large:
        # A table of the smallest models says nothing of these.
        assert words[-2:] == ["--size", "8b"] if words[0] == "fit" else len(words) == 2
    folders = [{w[1] for w in each if w[0] == "compare"} for each in (plain, large, adapter)]
    assert folders[0] == {f"runs/reproduced/tofu/{split}" for split in TRAINED["tofu"]["split"]}
    assert folders[1] == {
        f"runs/reproduced/tofu--size_8b/{split}" for split in TRAINED["tofu"]["split"]
    }
    assert not folders[2] & (folders[0] | folders[1])
    assert all(len(folder.split("/")[2]) < 100 for folder in folders[2])
    assert all("--expected" in words for words in adapter if words[0] == "compare")


def test_what_is_printed_is_what_is_run(reproduce, tmp_path) -> None:
    options = ["--model.lora", "{r: 16}", "--a", "it's\n\\n", "", "--b", "*"]
    assert _dry(reproduce, "--dry", "wmdp") == _dry(reproduce, "wmdp", "--dry")
    printed = reproduce("wmdp", *options, "--dry")[0].stdout
    (tmp_path / "bin/unlearnkit").write_text('#!/bin/sh\nprintf "<%s>" "$@" >> words\n')
    subprocess.run(["sh"], input=printed, cwd=tmp_path, text=True, check=True, env={
        **os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"})  # fmt: skip
    by_hand = (tmp_path / "words").read_text()
    (tmp_path / "words").unlink()
    assert reproduce("wmdp", *options)[0].returncode == 0
    assert (tmp_path / "words").read_text() == by_hand
    assert "<it's\n\\n><><--b><*>" in by_hand


def test_runs_of_which_the_table_does_not_speak_are_compared_without(reproduce) -> None:
    done, calls = reproduce("tofu", "--model.base", "other", LACKS="2")
    assert done.returncode == 0
    compared = [each.split()[2:] for each in calls if each.startswith("compare")]
    assert compared == [["--expected", "published/tofu"], []] * 3
    # A fault is none of the table.
    assert reproduce("tofu", "--model.base", "other", LACKS="1")[0].returncode == 1


def test_a_second_time_everything_is_there(reproduce) -> None:
    done, first = reproduce("wmdp")
    assert done.returncode == 0
    assert [each.split()[0] for each in first] == ["fit", "compare"] * 2
    done, calls = reproduce("wmdp")
    assert [each.split()[0] for each in calls] == ["compare"] * 2
    (*told,) = done.stderr.splitlines()
    assert [line.partition(": ")[2] for line in told] == ["finished before"] * 2
    # Other options are other runs.
    assert len(reproduce("wmdp", "--seed_everything", "1")[1]) == 4


@pytest.mark.parametrize("leaves", ["checkpoint", "shards", "phase", "unmeasured", "nothing"])
def test_after_a_stop_it_goes_on(reproduce, leaves) -> None:
    done, before = reproduce("rwku", STOP="2", LEAVES=leaves)
    assert done.returncode == 130
    assert [each.split()[0] for each in before] == ["fit"] * 2
    done, calls = reproduce("rwku")
    assert done.returncode == 0
    stopped, missing, compared = calls
    assert "finished before" in done.stderr
    run_dir = before[1].split()[4]
    if leaves == "unmeasured":
        assert stopped == f"evaluate {run_dir}/published/rwku/2026-01-02"
        assert "to be measured" in done.stderr
    elif leaves == "nothing":
        assert stopped == before[1]
    else:
        assert stopped == f"{before[1]} --ckpt_path last"
    assert missing.startswith("fit")
    assert "refusal" in missing
    assert "--ckpt_path" not in missing
    assert compared == "compare runs/reproduced/rwku/person"


def test_what_it_would_go_on_with_is_printed(reproduce) -> None:
    reproduce("rwku", STOP="2", LEAVES="checkpoint")
    done, calls = reproduce("rwku", "--dry")
    assert calls == []
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("--ckpt_path last")


def test_an_unknown_benchmark_is_refused(reproduce) -> None:
    for words in (["toofu", "--dry"], []):
        done, _ = reproduce(*words)
        assert done.returncode == 2
        assert "tofu|muse|muse-scal|muse-sust|wmdp|rwku" in done.stderr
