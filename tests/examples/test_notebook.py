"""The notebook runs from its first cell to its last, as a kernel runs it: on a loop, its functions in no file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
KERNEL = """
import ast, asyncio, inspect, json, linecache, sys

async def main():
    for number, text in enumerate(json.load(sys.stdin)):
        name = f"<ipython-input-{number}>"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        *lines, last = ast.parse(text, name).body
        shown = [ast.Expression(last.value)] if isinstance(last, ast.Expr) else []
        body = lines if shown else [*lines, last]
        for part, how in [(ast.Module(body, []), "exec"), *((one, "eval") for one in shown)]:
            code = compile(part, name, how, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            value = eval(code, globals())
            if inspect.iscoroutine(value):
                value = await value
            if how == "eval" and value is not None:
                print(value)

if __name__ == "__main__":
    asyncio.run(main())
"""


def cells(kind: str) -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_the_page_has_its_cells() -> None:
    page = (NOTEBOOK.parents[1] / "docs" / "notebook.md").read_text()
    assert [cell for cell in cells("markdown") if cell not in page] == []
    assert [cell for cell in cells("code") if f"```python\n{cell}\n```\n" not in page] == []


def test_the_notebook(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", KERNEL],
        input=json.dumps(cells("code")),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    mean, three, one, *report, last = done.stdout.splitlines()
    assert abs(float(mean)) < 0.2 and three.endswith(", 20)") and -5 < float(one) < 5
    assert "21 accepted: 21 succeeded" in "".join(report) and last.endswith(", 10)")
