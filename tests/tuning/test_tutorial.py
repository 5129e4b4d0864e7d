"""docs/tutorial.ipynb: its cells run in their order, and its ONNX file says what the student says.

The outputs that it keeps are of a real run: `jupyter execute --inplace docs/tutorial.ipynb` makes
them anew, and the tests below say what of a machine has to be taken out of them.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BOOK = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "code"]
PROOF = """
assert Path.cwd().name == "tutorial"
assert len(result.trials) == 8 and proved.confirmed
assert logits.shape == (300, 3) and right > 0.5
assert np.abs(expected - logits).max() < 1e-4
assert (proved.student()((torch.from_numpy(images) - mean) / std).argmax(1).numpy()
        == logits.argmax(1)).all()
assert (proved.folder / "report.html").exists() and Path("student.onnx.md").exists()
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the cells print, in a process and a folder of their own."""
    folder = tmp_path_factory.mktemp("book")
    script = folder / "cells.py"
    script.write_text("\n\n".join([*CODE, PROOF]), encoding="utf-8")
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_cells_end_with_an_onnx_file_that_says_what_the_student_says(said: str) -> None:
    assert "folder:shapes: 480 training images of 32×32 pixels" in said
    assert "its stages end with one, two" in said
    assert "better than the default: " in said
    assert "wrote student.onnx and student.onnx.md" in said
    assert "the same classes: True\nthe same logits to 1e-4: True" in said


def outputs() -> list[dict[str, Any]]:
    return [output for cell in BOOK["cells"] for output in cell.get("outputs", [])]


def test_its_cells_are_plain_python() -> None:
    for code in CODE:
        compile(code, "cell", "exec")


def test_it_keeps_what_its_cells_gave_and_nothing_of_a_machine() -> None:
    numbers = [cell["execution_count"] for cell in BOOK["cells"] if cell["cell_type"] == "code"]
    assert numbers == [*range(1, len(CODE) + 1)]
    assert sum("image/png" in str(output) for output in outputs()) == 3
    shown = [{"text": o.get("text"), **o.get("data", {}), "image/png": ""} for o in outputs()]
    of_a_machine = r"/(home|root|tmp|work|Users)/|\\u001b|Traceback|Warning|HTML object"
    assert not re.search(of_a_machine, json.dumps(shown))
    assert all(o["output_type"] in ("stream", "execute_result", "display_data") for o in outputs())
    assert all(o.get("name") != "stderr" for o in outputs())
    assert set(BOOK["metadata"]["language_info"]) == {"name"}
    assert not any(cell["metadata"] for cell in BOOK["cells"])


def test_its_links_lead_to_pages() -> None:
    words = "".join("".join(c["source"]) for c in BOOK["cells"] if c["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", words)
    assert len(links) >= 8
    assert all((ROOT / "docs" / link).exists() for link in links)
