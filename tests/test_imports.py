"""Imports run one way: main.py, test.py, arguments_*.py > utils > dataset, models > metadata. Late imports count."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("utils", "dataset", "models", "metadata")
MAY_IMPORT = {  # of this repository; each package may import itself
    "main": {"arguments_train", "dataset", "models", "utils"},
    "test": {"arguments_test", "dataset", "models", "utils"},
    "arguments_train": {"dataset", "models", "utils"},
    "arguments_test": {"arguments_train", "dataset", "models", "utils"},
    "utils": {"dataset", "models", "metadata"},
    "dataset": {"metadata"},
    "models": {"metadata"},
    "metadata": set(),
}
# What is still against the order, and why: to shrink, never to grow.
EXCEPTIONS = {"utils.speed.__main__ imports arguments_train"}  # a program of its own: its flags are those of main.py


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for path in [*ROOT.glob("*.py"), *(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))]
}


def imports_of(module):
    """The modules of this repository that a module names in an import, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively, which this test does not read"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES.keys() or {node.module}
    return {name for name in found if name.partition(".")[0] in MAY_IMPORT}


def room_of(module):
    """utils/training/run.py is in the room utils.training; utils/errors.py is one of its own."""
    return ".".join(module.split(".")[:2])


def test_the_walk_finds_what_is_there():
    assert {"main", "test", "arguments_train", "arguments_test"} <= MODULES.keys() and len(MODULES) > 80
    assert {"arguments_train", "models", "utils.distributed"} <= imports_of("main")
    assert "dataset.demo" in imports_of("dataset")  # in a function


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package):
    own = [module for module in MODULES if module.partition(".")[0] == package]
    wrong = {
        f"{module} imports {name}"
        for module in own
        for name in imports_of(module)
        if name.partition(".")[0] not in MAY_IMPORT[package] | {package}
    }
    assert own and wrong <= EXCEPTIONS


def test_every_top_level_module_has_a_place_in_the_order():
    assert {module.partition(".")[0] for module in MODULES} == set(MAY_IMPORT)


def reachable(start, edges):
    seen, left = set(), [start]
    while left:
        for name in edges.get(left.pop(), set()) - seen:
            seen.add(name)
            left.append(name)
    return seen


@pytest.mark.parametrize("package", ["utils", "dataset", "models"])
def test_no_cycle_between_rooms(package):
    """A package's own __init__.py counts as a room of its own."""
    edges = {}
    for module in MODULES:
        if module.partition(".")[0] == package:
            rooms = {room_of(name) for name in imports_of(module) if name.partition(".")[0] == package}
            edges.setdefault(room_of(module), set()).update(rooms - {room_of(module)})
    assert len(edges) > 5
    cycles = {name for name in edges if name in reachable(name, edges)}
    assert cycles == set(), {name: sorted(edges[name] & cycles) for name in sorted(cycles)}
