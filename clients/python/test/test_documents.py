"""The code on the pages runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from documents import PACKAGE, REPOSITORY, blocks
from service import Service

APPLICATIONS = REPOSITORY / "docs/APPLICATIONS.md"


def run(code: str, service: Service) -> str:
    environment = {**os.environ, "DATABASE_URL": service.application_url, "TARGET": service.target}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_python_of_applications_follows_a_backup_to_its_end(service: Service) -> None:
    client, fastapi, alone = blocks(APPLICATIONS, "python")
    for code in (client, alone):
        *_, before, last = run(code, service).splitlines()
        assert before.startswith("100.0 %")
        assert last == "completed None None"
    # The part of the example that the page shows is the example's.
    example = (REPOSITORY / "examples/fastapi/app.py").read_text(encoding="utf-8")
    for part in fastapi.split("\n\n\n"):
        assert part.strip() in example


def test_the_code_of_the_readme_runs(service: Service) -> None:
    readme: Path = PACKAGE / "README.md"
    sync, asynchronous, transaction = blocks(readme, "python")
    assert run(sync, service).endswith("completed None\n")
    assert run(asynchronous, service).endswith("completed None\n")
    assert run(transaction, service) == "queued\n"
