"""The three folders are one package and claim one name."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["cli", "queries", "tests"])
def test_no_other_top_level_name(name: str, tmp_path: Path) -> None:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({name!r}) is not None)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_every_package_is_listed() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    places = {name: name.replace(".", "/") for name in tool["packages"]} | tool["package-dir"]
    tops = ("neurontab", "cli", "queries")
    present = {init.parent for top in tops for init in (ROOT / top).rglob("__init__.py")}
    assert present == {ROOT / place for place in places.values()}


def test_a_plain_install_holds_one_name_and_every_file(tmp_path: Path) -> None:
    checkout, site = tmp_path / "checkout", tmp_path / "site"
    left_out = shutil.ignore_patterns("runs", ".*", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, checkout, ignore=left_out)
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(site), str(checkout)], check=True)
    tops = {path.name for path in site.iterdir() if path.suffix != ".dist-info"}
    assert tops == {"bin", "neurontab"}
    for folder in ("neurontab", "cli", "queries"):
        inside = site if folder == "neurontab" else site / "neurontab"
        files = (path for path in (checkout / folder).rglob("*") if path.is_file())
        missing = [p for p in files if not (inside / p.relative_to(checkout)).is_file()]
        assert not missing
