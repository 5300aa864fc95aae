"""The tutorials as notebooks."""

import json
import os
from pathlib import Path

import pytest
from notebooks import FOLDER, TUTORIALS, notebook
from pages import path


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_notebook_of_a_tutorial_is_written_from_its_page(page: Path) -> None:
    kept = (FOLDER / f"{page.stem}.ipynb").read_text(encoding="utf-8")
    assert kept == notebook(page), "make docs-outputs writes it again"


def test_there_is_no_notebook_without_a_page() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.ipynb")) == sorted(page.stem for page in TUTORIALS)


PAGE = """# Page

Text with a [link](other.md).

```python title="plant.py"
GAIN = 2
```

<!-- by day: --runs 1 -->
```sh
policysearch compare \\
    --runs 9
```

```text
what it prints
```

```console
make docs
```

```python
print(3)
```
"""


def test_blocks_are_cells_and_what_they_print_is_left_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    cells = json.loads(notebook(page))["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "code", "markdown", "code"]
    texts = ["".join(cell["source"]) for cell in cells]
    assert texts[1] == "%%writefile plant.py\nGAIN = 2"
    assert texts[2].split() == ["!policysearch", "compare", "--runs", "9"]
    assert "[link](../" in texts[0]
    assert texts[4] == "print(3)"


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")  # of Jupyter
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_notebook_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="pip install 'policysearch[notebooks]'")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PATH", path())
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(FOLDER.parents[2]), os.environ.get("PYTHONPATH", "")])
    )
    read = nbformat.read(FOLDER / f"{page.stem}.ipynb", as_version=4)
    nbclient.NotebookClient(read, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [out for cell in read.cells if cell.cell_type == "code" for out in cell.outputs]
    assert printed
    assert not [out for out in printed if out.output_type == "error"]
