"""Objectives of other packages, installed as any package is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import processes
import pytest

GOOD = """\
from unlearnkit import Objective


class Shout(Objective, name="shout"):
    '''Makes forget responses louder.'''

    paper = "Nobody 2020"

    def forward(self, views):
        view = views[self.stream]
        return view.mean(view.logps)
"""
BROKEN = "import a_module_that_nobody_has\n"
THIEF = GOOD.replace("shout", "npo")


def wheel(folder: Path, name: str, code: str) -> Path:
    """The smallest wheel with one module and an entry point for it."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[unlearnkit.plugins]\n{name}_entry = {name}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which pip installed a good plugin and two that cannot be loaded."""
    folder = tmp_path_factory.mktemp("plugins")
    plugins = {"good_plugin": GOOD, "broken_plugin": BROKEN, "thief_plugin": THIEF}
    wheels = [str(wheel(folder, name, code)) for name, code in plugins.items()]
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-deps", "--no-index", "--target", str(target), *wheels],
        check=True,
        capture_output=True,
    )
    return target


def resolve(site: str) -> None:
    sys.path.append(site)
    from unlearnkit.objectives import Objective

    print(Objective.resolve("shout").__module__)


def say(site: str, *words: str) -> int:
    sys.path.append(site)
    from unlearnkit.cli.main import main

    return main(list(words))


def test_a_plugins_objective_resolves_by_name_and_broken_ones_warn(site):
    done = processes.run(resolve, str(site))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "good_plugin"
    assert "the unlearnkit plugin 'broken_plugin_entry' (broken_plugin) could not be" in done.stderr
    assert "No module named 'a_module_that_nobody_has'" in done.stderr
    assert "the unlearnkit plugin 'thief_plugin_entry' (thief_plugin) could not be" in done.stderr
    assert "the name 'npo' belongs to unlearnkit.objectives.preference.NPO" in done.stderr
    assert "good_plugin" not in done.stderr


def test_a_plugins_objective_is_listed_with_the_others(site):
    done = processes.run(say, str(site), "list", "objectives", env={"COLUMNS": "300"})
    assert done.returncode == 0, done.stderr
    assert "Makes forget responses louder." in done.stdout
    assert "stream forget; Nobody 2020" in done.stdout
    assert "Negative preference optimisation" in done.stdout
    assert "Traceback" not in done.stderr
