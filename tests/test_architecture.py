"""Modules stay on their floors: they import only what lies below."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skdgam

PACKAGE = Path(skdgam.__file__).parent

# Bottom to top; within a floor, a module may use those named before it.
FLOORS = [
    ["_typing", "intervals", "sampling", "_features", "_validation"],
    ["networks", "losses", "metrics", "io", "formats", "features", "datasets"],
    [
        "_batches",
        "localization",
        "_inference",
        "_layers",
        "_stages",
        "_training",
        "_early_stopping",
        "_checkpoints",
        "_loop",
        "_sanity",
    ],
    [
        "_callbacks",
        "_base",
        "_fitted",
        "estimator",
        "baselines",
        "inspection",
        "fusion",
        "presets",
        "_stacked",
        "model_selection",
        "preprocessing",
    ],
    ["plotting", "report", "_commands", "cli", "__main__"],
]
ORDER = [module for floor in FLOORS for module in floor]
WITHOUT_TORCH = [*FLOORS[0], "metrics", "io", "formats", "features", "datasets", "preprocessing"]


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def place(path):
    """The name under which a file stands in FLOORS: its module, or its subpackage."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} has a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_places(path):
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "skdgam" and len(parts) > 1 and parts[1] in ORDER:
            yield parts[1]


def test_every_module_has_a_floor():
    assert {place(path) for path in modules()} == set(ORDER)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_imports_only_look_down(path):
    above = ORDER[ORDER.index(place(path)) :]
    assert [name for name in imported_places(path) if name in above and name != place(path)] == []


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_works_without_torch(module):
    code = f"import sys, skdgam.{module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_there():
    for name in skdgam.__all__:
        assert getattr(skdgam, name).__name__ == name
    assert set(skdgam.__all__) <= set(dir(skdgam))
    with pytest.raises(AttributeError, match="no attribute 'Localizer'"):
        skdgam.Localizer  # noqa: B018
