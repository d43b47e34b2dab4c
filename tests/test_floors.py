"""Who may import whom: the floors of the house, and what the light commands never load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"errors"},
    {"files", "progress", "printable", "loops", "device"},
    {"config"},
    {"tables", "measure", "suite"},
    {"show", "manifest", "lock", "passes"},
    {"commit", "checking"},
    {"run", "folder"},
    {"derive", "writing", "prepare", "labelling"},
    {"listing"},
    {"multiplying", "sketching"},
    {"comparing"},
    {"measuring"},
    {"building"},
    {"cli"},
]
HEAVY = {"torch", "triton", "transformers", "transformer_lens", "tokenizers", "numba", "scipy"}
EXTRA = HEAVY | {"tomli_w", "psutil", "jaxtyping"}  # of `build`, as the light core has it not
BUILDING = {
    *("device", "prepare", "passes", "listing", "multiplying", "sketching"),
    *("comparing", "measuring", "building"),
}
FILES = sorted(
    path for top in ("neurontab", "cli", "queries") for path in (ROOT / top).rglob("*.py")
)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function, not for types alone."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package_of(path, node.level), *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def package_of(path: Path, level: int) -> list[str]:
    """What the leading dots of a relative import stand for, none for an absolute one."""
    if not level:
        return []
    parts = path.relative_to(ROOT).parts
    inside = parts if parts[0] == "neurontab" else ("neurontab", *parts)
    return list(inside[: len(inside) - level])


def test_relative_imports_are_told_by_their_whole_names(tmp_path: Path) -> None:
    assert "neurontab.cli.options.RunFolder" in imports(ROOT / "cli" / "info.py")
    assert package_of(ROOT / "neurontab" / "measure" / "pairs.py", 2) == ["neurontab"]
    assert package_of(ROOT / "cli" / "app.py", 1) == ["neurontab", "cli"]


def floor_of(room: str) -> int:
    """Number of the floor that a file or folder of the package stands on."""
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def room_of(path: Path) -> str:
    """The first folder or file below the package that a file belongs to."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "neurontab" else parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_its_own_floor_and_below(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        pytest.skip("the package's face opens doors on every floor")
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("neurontab.")}
    ours -= {"__version__", room}
    if room == "queries":
        assert ours <= {"tables"}
        return
    assert not {other for other in ours if floor_of(other) > floor_of(room)}
    if room in ("tables", "measure"):
        assert not ours & {"tables", "measure"}
    if room == "suite":
        assert ours <= {"errors", "device"}
    if room == "show":
        assert ours <= {"errors", "printable", "tables"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_measurements_import_torch_and_only_the_rest_polars(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports(path)}
    room = room_of(path)
    if room == "measure":
        assert "polars" not in packages
    elif room not in ("suite", "loops", "writing", *BUILDING):
        assert not packages & HEAVY


@pytest.mark.parametrize("name", ["neurontab", "neurontab.derive", "neurontab.show.charts"])
def test_importing_a_light_part_loads_nothing_heavy(name: str) -> None:
    code = f"import sys, {name}; print(*sorted({EXTRA!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert loaded.stdout.decode().strip() == ""


def test_help_loads_neither_frames_nor_charts() -> None:
    code = (
        "import sys; from neurontab.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'polars', 'altair', 'torch', 'pydantic'} & set(sys.modules)\n"
        "print(*sorted(heavy), file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert loaded.stderr.decode().strip() == ""
