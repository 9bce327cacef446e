"""Options: which stored values the package is held against."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden", type=Path, help="folder of stored objective values (default: ours)"
    )
    parser.addoption(
        "--golden-metrics", type=Path, help="folder of stored metric values (default: ours)"
    )


def golden_folder(config: pytest.Config, option: str, default: str) -> Path:
    """The folder that the option names, or the one that the repository holds."""
    # Collected from above, this file comes after the command line has been read.
    return config.getoption(option, default=None) or HERE / default


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_metric" in metafunc.fixturenames:
        from golden_metrics import read_cases

        folder = golden_folder(metafunc.config, "--golden-metrics", "golden-metrics")
        cases = read_cases(folder)
        metafunc.parametrize("golden_metric", cases, ids=[case.label for case in cases])
