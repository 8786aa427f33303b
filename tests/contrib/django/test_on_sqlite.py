"""The backend, the worker and the rest on SQLite: see the folder ``inside``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contrib.django.inside_run import LONGEST, run_inside


@pytest.mark.timeout(LONGEST)
def test_a_project_on_sqlite(tmp_path: Path) -> None:
    files = {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("default", "other", "elsewhere")}
    run_inside(**files)
