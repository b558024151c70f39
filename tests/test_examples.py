"""Every example is short, and runs as a user would run it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    source = path.read_text(encoding="utf-8")
    lines, pictures = source.splitlines(), set(re.findall(r"\{folder\}/([\w.]+)", source))
    assert pictures
    assert len(lines) < 60
    assert lines[0] == '"""'
    assert set(lines[2]) == {"="}
    assert len(lines[2]) >= len(lines[1])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {picture.name for picture in (tmp_path / "results").iterdir()} == pictures
