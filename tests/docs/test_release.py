"""Version, Python versions and CI are said in several files, which agree."""

from __future__ import annotations

import io
import re
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_version_is_one() -> None:
    version = PROJECT["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == version
    newest = re.findall(
        r"^## \[(\d.*?)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.M
    )[0]
    assert newest == (version, str(citation["date-released"]))


def test_the_wheel_is_ten_megabytes_at_most() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for folder in ("unlearnkit", "recipes"):
            for file in sorted((ROOT / folder).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    wheel.write(file, file.relative_to(ROOT))  # of a link what it leads to
    assert 5e6 < len(packed.getvalue()) <= 10e6


def test_what_is_declared_for_python_is_what_ci_runs() -> None:
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text("utf-8"))
    run = matrix["jobs"]["test"]["strategy"]["matrix"]["python"]
    declared = [
        each.rpartition(" ")[2]
        for each in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", each)
    ]
    assert run == declared
    assert PROJECT["requires-python"] == f">={run[0]}"


def test_every_extra_of_a_user_is_explained() -> None:
    page = (ROOT / "docs" / "faq.md").read_text("utf-8")
    told = re.findall(r"^\| `(\w+)` \|", page, flags=re.M)
    ours = {"test", "test-extras", "dev", "browser"}
    extras = {name for name, each in PROJECT["optional-dependencies"].items() if each}
    assert set(told) == extras - ours


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_ci_calls_targets_that_exist(workflow) -> None:
    rules = (ROOT / "Makefile").read_text("utf-8")
    jobs = yaml.safe_load(workflow.read_text("utf-8"))["jobs"].values()
    lines = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    called = [word for line in lines if line.startswith("make ") for word in line.split()[1:]]
    assert called
    for target in called:
        assert re.search(rf"^{target}:", rules, flags=re.M), target
