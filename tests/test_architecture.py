"""Modules stay on their floors: they import only what lies below."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import skdgam
from skdgam.methods import METHODS

PACKAGE = Path(skdgam.__file__).parent

# Bottom to top; within a floor, a module may use those named before it.
FLOORS = [
    [
        *("_typing", "intervals", "clock", "sampling", "_protocols"),
        *("_names", "_labels", "_weights", "_features", "_validation"),
    ],
    [
        *("metrics", "io", "formats", "features._folder", "features._sources"),
        *("features._csv", "features", "features._mel", "features.sound"),
        *("features.table", "features.frames", "features.flow"),
        *("datasets", "preprocessing"),
    ],
    [
        *("losses._pooling", "losses._classification", "losses._similarity"),
        *("losses._proposals", "losses._guide", "losses"),
        *("proposals", "localization", "layers", "features.i3d", "features.backbones"),
    ],
    [
        "training",
        "training.batches",
        "training.devices",
        "training.protocol",
        "training.inference",
        "training.trainer",
        "training.early_stopping",
        "training.checkpoints",
        "training.loop",
        "training.memory",
        "training.sanity",
        "training.progress",
        "training.callbacks",
        "features.video",
    ],
    ["_parameters", "_localizer", "_fitted", "base"],
    [
        "dgam.networks",
        "dgam.kernels",
        "dgam.objective",
        "dgam.joint",
        "dgam.released",
        "dgam.presets",
        "dgam.localizer",
        "dgam.swap",
        "dgam",
        *("methods._settings", "methods._localization", "methods._boxes", "methods._selection"),
        *("methods._suppression", "methods._consensus", "methods._branches"),
        *("methods._paths", "methods._box_localizer", "methods._segments"),
        "methods.mil",
        *(
            "methods.untrimmednet",
            "methods.hide_and_seek",
            "methods.stpn",
            "methods.wtalc",
            "methods.autoloc",
            "methods.cmcs",
            "methods.maan",
            "methods.background",
            "methods.threecnet",
            "methods.contrast_evaluator",
            "methods.phase_paths",
            "methods.basnet",
            "methods.um",
            "methods.cola",
            "methods.hamnet",
            "methods.acmnet",
            "methods.co2net",
            "methods.delu",
            "methods.asmloc",
            "methods.supervised",
            "methods.pmil",
        ),
        "methods",
    ],
    [
        *("presets", "multi_stream", "refiner", "persistence"),
        *("inspection", "model_selection"),
        *("estimator", "baselines", "fusion"),  # where old pickles look
    ],
    [
        *("plotting", "report", "_words", "_arguments"),
        *("_evaluate", "_commands", "_extract", "cli", "__main__"),
    ],
]
ORDER = [module for floor in FLOORS for module in floor]
WITHOUT_TORCH = [*FLOORS[0], *FLOORS[1]]
# A method is named in its own folder or file, in the registry, and at the front door.
MAY_NAME_A_METHOD = ("dgam/", "methods/", "__init__.py")


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def place(name):
    """The name in ORDER of a module: its own, or that of its subpackage."""
    parts = name.removesuffix(".__init__").split(".")
    return next((n for n in (".".join(parts[:2]), parts[0]) if n in ORDER), None)


def place_of_file(path):
    return place(".".join(path.relative_to(PACKAGE).with_suffix("").parts))


def imports(path):
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []  # what only type checkers follow
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} has a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}".removeprefix("skdgam.")
                yield f"skdgam.{name}" if place(name) == name else node.module


def imported_places(path):
    for name in imports(path):
        if name.startswith("skdgam."):
            yield place(name.removeprefix("skdgam."))


def test_every_module_has_a_floor():
    assert {place_of_file(path) for path in modules()} == set(ORDER)
    assert len(FLOORS) <= 8


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_look_down(path):
    own = place_of_file(path)
    above = ORDER[ORDER.index(own) :]
    assert [name for name in imported_places(path) if name in above and name != own] == []


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


def words(path):
    """Names and texts without blanks in the code of a module; docstrings and prose are left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        for kind in ("id", "attr", "name", "arg", "module"):
            if isinstance(word := getattr(node, kind, None), str):
                yield word
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            yield node.value


@pytest.mark.parametrize(
    "path",
    [p for p in modules() if not str(p.relative_to(PACKAGE)).startswith(MAY_NAME_A_METHOD)],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_nothing_but_the_registry_names_a_method(path):
    named = "|".join([*METHODS, *(method.__name__ for method in METHODS.values()), "cvae"])
    pattern = re.compile(rf"(?<![a-z])({named})(?![a-z])", re.IGNORECASE)
    assert [word for word in words(path) if pattern.search(word)] == []


def test_what_is_to_be_cited_is_this_version():
    citation = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == skdgam.__version__
