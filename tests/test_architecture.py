"""What holds the layout together."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from lrcore.datasets import DATASETS
from lrcore.jobs.__main__ import reference as training_reference
from lrcore.models import MODELS
from lrcore.optimizers import OPTIMIZERS
from lrcore.schedules import SCHEDULES
from lrcore.schedules.__main__ import reference
from lrserve.api.settings_reference import page as settings_page
from lrserve.reference import page

ROOT = Path(__file__).parent.parent
CODE = ("lrcore", "api", "worker", "lrserve")
TESTS = ("tests",)

# The five largest of each kind, largest first: what there was when the bounds were set, rounded up. They only go down.
LINES_OF_FUNCTIONS = {CODE: (58, 54, 50, 46, 46), TESTS: (72, 56, 50, 50, 48)}
LINES_OF_FILES = {CODE: (390, 385, 375, 355, 345), TESTS: (490, 470, 460, 455, 445)}
MODULES_OF_FOLDERS = {CODE: (23, 21, 17, 16, 16), TESTS: (31, 28, 23, 18, 17)}


def python(code: str, cwd: Path = ROOT) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_api_needs_neither_torch_nor_a_data_set_library() -> None:
    python(
        """
        import sys
        for name in ("torch", "torchvision", "sklearn", "safetensors"):
            sys.modules[name] = None
        from lrcore.schedules import SCHEDULES
        from lrserve.api.app import create_app
        create_app().openapi()
        """
    )


@pytest.mark.slow
def test_the_engine_needs_neither_queue_nor_store() -> None:
    python(
        """
        import sys
        for name in ("celery", "kombu", "redis", "pydantic_settings", "fastapi", "uvicorn", "httpx"):
            sys.modules[name] = None
        import lrserve.worker.engine, lrserve.worker.engine.__main__
        """
    )


def test_every_member_of_a_family_has_an_example_that_validates() -> None:
    for family in (SCHEDULES, MODELS, DATASETS, OPTIMIZERS):
        for name, member in family.items():
            assert member.model_validate(member.example | {"type": name}).type == name


def test_the_pages_made_from_the_code_are_up_to_date() -> None:
    assert (ROOT / "docs" / "schedules.md").read_text() == reference(), "run make docs"
    assert (ROOT / "docs" / "training.md").read_text() == training_reference() + "\n", "run make docs"
    assert (ROOT / "docs" / "cli.md").read_text() == page(), "run make docs"
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page(), "run make docs"


def sources(folders: tuple[str, ...]) -> Iterator[Path]:
    """The Python files below some folders, each once: lrserve/api and lrserve/worker are links to folders beside it."""
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        if not any(part.is_symlink() for part in file.relative_to(ROOT).parents):
            yield file


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """The name of each function of a file, and how many lines it has from `def` on."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def hold(sizes: Counter[str], bounds: tuple[int, ...], unit: str) -> None:
    """Print the largest, and hold each against the bound of its place."""
    largest = sizes.most_common(len(bounds))
    for (name, size), bound in zip(largest, bounds, strict=True):
        print(f"{size:5} {unit}, at most {bound}: {name}")
    assert [name for (name, size), bound in zip(largest, bounds, strict=True) if size > bound] == []


@pytest.mark.parametrize("folders", [CODE, TESTS], ids=["code", "tests"])
def test_functions_files_and_folders_do_not_grow(folders: tuple[str, ...]) -> None:
    files = list(sources(folders))
    lines = Counter({str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files})
    modules = Counter(str(file.parent.relative_to(ROOT)) for file in files)

    hold(Counter(dict(each for file in files for each in functions(file))), LINES_OF_FUNCTIONS[folders], "lines")
    hold(lines, LINES_OF_FILES[folders], "lines")
    hold(modules, MODULES_OF_FOLDERS[folders], "modules")


def test_there_are_no_import_circles() -> None:
    graph = grimp.build_graph("lrcore", "lrserve", cache_dir=None, exclude_type_checking_imports=True)
    circles = {frozenset({each} | around(graph, each)) for each in graph.modules if around(graph, each)}
    for circle in circles:
        print(f"a circle of {len(circle)}: {', '.join(sorted(circle))}")

    assert circles == set()


def around(graph: grimp.ImportGraph, module: str) -> set[str]:
    """The modules that import a module and are imported by it, directly or by way of others."""
    return graph.find_upstream_modules(module) & graph.find_downstream_modules(module)
