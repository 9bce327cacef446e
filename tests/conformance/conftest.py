"""Parametrises tests by the stored values that the package is held against."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def golden_folder(config: pytest.Config, option: str, default: str) -> Path:
    """The folder that the option names, or the one that the repository holds."""
    return config.getoption(option) or HERE / default


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_metric" in metafunc.fixturenames:
        from golden_metrics import read_cases

        folder = golden_folder(metafunc.config, "--golden-metrics", "golden-metrics")
        cases = read_cases(folder)
        metafunc.parametrize("golden_metric", cases, ids=[case.label for case in cases])
    if "golden_objective" in metafunc.fixturenames:
        from golden_objectives import read_records

        records = read_records(golden_folder(metafunc.config, "--golden", "golden"))
        metafunc.parametrize("golden_objective", records, ids=[each.name for each in records])
