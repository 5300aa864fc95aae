"""Every claim, measured and collected into one page.

    python experiments/lecture_claims/run.py                         all of them
    python experiments/lecture_claims/run.py a_reward_to_go …       some; the others stay as they are

Each module of this folder that is named by a letter has a function `measure() -> Claim`. What it found goes into
NAME.csv, NAME.png and NAME.md; README.md is put together from all NAME.md that are there.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from claim import Claim  # noqa: E402 - from this folder

import policysearch  # noqa: E402
from policysearch.reporting.figures import write_png  # noqa: E402

NAMES = sorted(path.stem for path in HERE.glob("[a-z]_*.py"))


def write(name: str, claim: Claim, seconds: float, out: Path) -> None:
    """NAME.csv, NAME.png and NAME.md."""
    claim.table.to_csv(out / f"{name}.csv", index=False, float_format="%.6g")
    lines = [f"## {name[0]}. {claim.claim}", "", f"**{claim.verdict}**", "", claim.setting, ""]
    lines += ["| measured | value (95 % interval) | theory |", "| --- | --- | --- |"]
    lines += [f"| {m.what} | {m} | {m.expected} |" for m in claim.measured]
    if claim.picture is not None:
        write_png(out / f"{name}.png", claim.picture)
        lines += ["", f"![{name}]({name}.png)"]
    lines += ["", *(f"- {remark}" for remark in claim.remarks)]
    lines += [
        "",
        f"[all numbers]({name}.csv), [script](../../experiments/lecture_claims/{name}.py), {seconds:.0f} s",
    ]
    (out / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def collect(out: Path) -> None:
    """README.md from all claims that have been measured."""
    parts = [(name, (out / f"{name}.md")) for name in NAMES if (out / f"{name}.md").exists()]
    texts = [(name, path.read_text(encoding="utf-8")) for name, path in parts]
    versions = f"policysearch {policysearch.__version__}, numpy {np.__version__}"
    head = [
        "# What the lectures claim, measured",
        "",
        f"Written by `python experiments/lecture_claims/run.py` ({versions}). Each claim is a script of its own in",
        "`experiments/lecture_claims`; its verdict follows from the numbers by a rule that stands in the script.",
        "",
        "| | claim | verdict |",
        "| --- | --- | --- |",
    ]
    for _, text in texts:
        title, verdict = text.splitlines()[0].removeprefix("## "), text.splitlines()[2].strip("*")
        letter, _, sentence = title.partition(". ")
        head.append(f"| {letter} | {sentence} | {verdict} |")
    (out / "README.md").write_text("\n".join([*head, "", *(text for _, text in texts)]), encoding="utf-8")


def main() -> None:
    """Measure the claims that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all unless given")
    parser.add_argument("--out", type=Path, default=Path("results/lecture_claims"))
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown claim {unknown[0]!r}; there are {', '.join(NAMES)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or NAMES:
        began = time.perf_counter()
        print(f"{name} …", flush=True)
        with threadpool_limits(1):
            claim = importlib.import_module(name).measure()
        write(name, claim, time.perf_counter() - began, arguments.out)
        print(f"  {claim.verdict}  ({time.perf_counter() - began:.0f} s)", flush=True)
    collect(arguments.out)
    print(f"written to {arguments.out / 'README.md'}")


if __name__ == "__main__":
    main()
