"""The one-way rule: data_specs -> models -> pipeline -> flows, Ray and Prefect only where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("data_specs", "models", "pipeline", "flows")
RAY_MODULES = {f"pipeline/{name}.py" for name in ("workers", "unit_workers", "train_workers", "starvation")}
MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    """Top-level packages a module imports, at its top or inside functions."""
    packages = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            packages.add(path.relative_to(ROOT).parts[0] if node.level else (node.module or "").split(".")[0])
    return packages


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_folders_to_its_left(path):
    name = str(path.relative_to(ROOT))
    layer = LAYERS.index(path.relative_to(ROOT).parts[0])
    packages = imported_packages(path)
    assert not packages & set(LAYERS[layer + 1 :]), f"{name} imports from a folder to its right"
    assert "tests" not in packages, f"{name} imports tests"
    assert "ray" not in packages or name in RAY_MODULES, f"{name} imports Ray"
    assert "prefect" not in packages or LAYERS[layer] == "flows", f"{name} imports Prefect"
    if LAYERS[layer] == "data_specs":
        assert not packages & {"torch", "torchaudio"}, f"{name} imports torch"


def test_the_command_line_starts_without_the_heavy_packages():
    code = "import sys, flows.cli; print(*{'torch', 'ray', 'prefect', 'pyarrow', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
