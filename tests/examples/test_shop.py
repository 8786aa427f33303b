"""The Django shop: its own tests, and an order whose receipt a worker sends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = Path(__file__).parents[2] / "examples" / "shop"
ORDER = """
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
Client().post("/orders/", {"item": "tea", "mail": "ada@example.com"})
"""


def manage(folder: Path, *words: str) -> str:
    environment = os.environ | {"SHOP_DATABASE": str(folder / "shop.sqlite3"), "SHOP_MAILS": str(folder / "mails")}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "manage.py", *words]
    ran = subprocess.run(command, cwd=SHOP, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.mark.timeout(180)
def test_the_tests_of_the_shop(tmp_path: Path) -> None:
    assert "Ran 4 tests" in manage(tmp_path, "test", "orders")


@pytest.mark.timeout(180)
def test_a_receipt_is_sent(tmp_path: Path) -> None:
    manage(tmp_path, "shell", "-c", ORDER)
    assert not (tmp_path / "mails").exists()
    assert "1 completed" in manage(tmp_path, "steadypool", "work", "--until-empty")
    [mail] = (tmp_path / "mails").iterdir()
    assert "We have got your order of tea." in mail.read_text(encoding="utf-8")
