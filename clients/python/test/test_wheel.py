"""The package, as others install it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from documents import PACKAGE
from service import Service, environment

PROGRAM = """
import importlib.metadata, os, pathlib, sys
import psycopg, pgdumpd_client
from pgdumpd_client import aio, web
from pgdumpd_client import enqueue_backup, watch_backup

folder = pathlib.Path(pgdumpd_client.__file__).parent
assert sys.prefix in str(folder), folder
assert (folder / "py.typed").exists()
assert importlib.metadata.requires("pgdumpd-client") == ["psycopg>=3.1.8"]
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    id = enqueue_backup(connection, os.environ["TARGET"]).id
    for status in watch_backup(connection, id):
        pass
    print(status.state, web.answer_of(status)["progress"])
"""

MISTAKE = """
import psycopg
from pgdumpd_client import backup_status
def state(connection: psycopg.Connection) -> int:
    status = backup_status(connection, "x")
    return status.state
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as an installer without a wheel does."""
    folder = tmp_path_factory.mktemp("dist")
    build = "import sys; from flit_core import buildapi; print(buildapi.build_sdist(sys.argv[1]))"
    python([sys.executable, "-c", build, folder], cwd=PACKAGE)
    [source] = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/pgdumpd_client/py.typed"} <= names
    pip: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-index"]
    python([*pip, "--no-build-isolation", "--no-deps", "-w", folder, source], cwd=folder)
    [wheel] = folder.glob("*.whl")
    return wheel


def python(command: list[str | Path], cwd: Path, env: dict[str, str] | None = None) -> str:
    """Runs a program that does not find this checkout's source."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} if env is None else env
    ran = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_a_wheel_has_the_package_its_types_and_its_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read("pgdumpd_client-0.1.0.dist-info/METADATA").decode()
    assert wheel.name == "pgdumpd_client-0.1.0-py3-none-any.whl"
    modules = {f"pgdumpd_client/{path.name}" for path in (PACKAGE / "src/pgdumpd_client").glob("*.*")}
    assert modules <= names
    assert {name.partition("/")[0] for name in names} == {"pgdumpd_client", "pgdumpd_client-0.1.0.dist-info"}
    assert {"LICENSE-APACHE", "LICENSE-MIT"} <= {Path(name).name for name in names}
    assert "License-Expression: MIT OR Apache-2.0" in metadata
    assert "Requires-Python: >=3.10" in metadata


def test_a_wheel_works_in_a_fresh_environment(wheel: Path, tmp_path: Path, service: Service) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    fresh = tmp_path / "venv/bin/python"
    wheels = Path(environment("PGDUMPD_CACHE")) / "python/wheels"
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        fresh,
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-index",
    ]
    python([*pip, "--find-links", wheels, wheel, "psycopg[binary]"], cwd=tmp_path)
    variables = {"PATH": os.environ["PATH"], "DATABASE_URL": service.application_url, "TARGET": service.target}
    assert python([fresh, "-c", PROGRAM], cwd=tmp_path, env=variables) == "succeeded 100.0\n"
    # A program of the application's is checked against the package's types.
    mistake = tmp_path / "mistake.py"
    mistake.write_text(MISTAKE)
    mypy: list[str | Path] = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        fresh,
        "--cache-dir",
        tmp_path / "mypy",
    ]
    checked = subprocess.run([*mypy, mistake], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert 'Item "None" of "BackupStatus | None" has no attribute "state"' in checked.stdout, checked.stdout
