"""docs/architecture.md draws the rooms; imports run down the drawing only, and in no circle."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from kd.methods import method_names

ROOT = Path(__file__).parent.parent
TOPS = ("tuning", "search_spaces", "kd")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def drawn() -> list[list[str]]:
    """The modules of every line of the drawing, from the top down."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = re.search(r"(?:^    .*\n)+", text, re.MULTILINE)
    assert drawing is not None
    lines, folders = [], []
    for line in drawing[0].splitlines():
        depth = (len(line) - len(line.lstrip()) - 4) // 2
        words = line.split()
        if words[0].endswith("/"):
            folders[depth:] = [words.pop(0).rstrip("/")]
        else:
            folders[depth:] = []
        folder = ".".join(folders)
        names = [name for name in " ".join(words).split(" · ") if name]
        own = {folder} & FILES.keys() if line.lstrip().startswith(f"{folders[-1]}/") else set()
        lines.append([*own, *(m for name in names for m in modules(folder, name))])
    return lines


def modules(folder: str, name: str) -> list[str]:
    """`NAME` stands for every method."""
    names = [name.replace("NAME", method) for method in method_names()]
    return [f"{folder}.{one.replace('/', '.')}" for one in (names if "NAME" in name else [name])]


def imported(name: str) -> Iterator[str]:
    """The project's modules that a module imports, inside functions too, but for type checkers."""
    tree = TREES[name]
    skipped = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (owner(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            yield from (owner(f"{node.module}.{alias.name}") for alias in node.names)
        elif loaded := loads(node):
            yield owner(loaded)


def loads(node: ast.AST) -> str:
    """The module that a call of import_module or __import__ names, as far as it is written."""
    if not (isinstance(node, ast.Call) and node.args):
        return ""
    called = ast.unparse(node.func).rpartition(".")[2]
    name = node.args[0]
    written = called in ("import_module", "__import__") and isinstance(name, ast.Constant)
    return str(name.value) if written else ""


def owner(dotted: str) -> str:
    while dotted and dotted not in FILES:
        dotted = dotted.rpartition(".")[0]
    return dotted


ARROWS = {name: {*imported(name)} - {"", name} for name in FILES}


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """A walk that comes back to where it began; empty if there is none."""
    done: set[str] = set()

    def walk(path: list[str]) -> list[str]:
        for target in sorted(arrows.get(path[-1], ())):
            if target in path:
                return [*path[path.index(target) :], target]
            if target not in done and (found := walk([*path, target])):
                return found
        done.add(path[-1])
        return []

    return next((found for start in sorted(arrows) if (found := walk([start]))), [])


def room(name: str) -> str:
    """The folder of a module; a file that lies directly in a package is a room of its own."""
    top, _, rest = name.partition(".")
    return f"{top}.{rest.partition('.')[0]}" if rest else top


def test_every_file_is_drawn_once():
    names = [name for line in drawn() for name in line]
    assert sorted(names) == sorted(FILES)


def test_imports_run_down_the_drawing():
    place = {name: index for index, line in enumerate(drawn()) for name in line}
    upward = [
        f"{name} imports {target}"
        for name, targets in ARROWS.items()
        for target in targets
        if place[target] < place[name]
    ]
    assert not upward


def test_no_files_import_each_other_in_a_circle():
    assert not circle(ARROWS)


def test_no_rooms_import_each_other_in_a_circle():
    rooms: dict[str, set[str]] = {}
    for name, targets in ARROWS.items():
        rooms.setdefault(room(name), set()).update({room(t) for t in targets} - {room(name)})
    assert not circle(rooms)


HOMES = {
    "ray": ("tuning.engine", "tuning.cluster"),
    "mlflow": ("tuning.tracking",),
    "optuna": ("tuning.study", "tuning.reports.importance"),
}
"""Who alone may know a library, as the drawing's text says."""


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_known_in_its_own_room_alone(library):
    strangers = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if library in roots(node)
        and not any(name == home or name.startswith(f"{home}.") for home in HOMES[library])
    }
    assert not strangers


def roots(node: ast.AST) -> set[str]:
    """The top packages that an import statement names."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {str(node.module).partition(".")[0]}
    return {loads(node).partition(".")[0]}


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    from tuning import search",
        "if not TYPE_CHECKING:\n    from tuning import search",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import tuning.search",
        "importlib.import_module('tuning.search')",
        "def f():\n    __import__('tuning.search')",
    ],
)
def test_no_import_is_overlooked(text, monkeypatch):
    monkeypatch.setitem(TREES, "kd.text", ast.parse(text))
    assert "tuning.search" in set(imported("kd.text"))


def test_what_is_for_type_checkers_alone_is_no_import(monkeypatch):
    text = "if TYPE_CHECKING:\n    from tuning import search"
    monkeypatch.setitem(TREES, "kd.text", ast.parse(text))
    assert not set(imported("kd.text"))


def test_the_walk_finds_a_circle():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_a_file_is_a_room_that_one_person_can_hold_in_the_head():
    sizes = {name: len(path.read_text("utf-8").splitlines()) for name, path in FILES.items()}
    assert median(size for name, size in sizes.items() if not name.endswith("__init__")) <= 130
    assert {name: size for name, size in sizes.items() if size > 300} == {}


@pytest.mark.parametrize("top", TOPS)
def test_a_function_fits_on_a_screen(top):
    long = [
        f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, tree in TREES.items()
        if name.partition(".")[0] == top
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno >= 60
    ]
    assert not long
