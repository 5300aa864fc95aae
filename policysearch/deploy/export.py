"""Named values and policies for other programs: JSON, a C header, MATLAB. Every digit is written.

The ending of a file says its language: `.json`, `.h` or `.mat` (which needs SciPy).
"""

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import policysearch
from policysearch.files import replacing, write_text
from policysearch.plain_data import for_others

Layers = Sequence[tuple[np.ndarray, np.ndarray]]
ENDINGS = (".json", ".h", ".mat")
#: Types of C by those of Python; anything else is text.
KINDS = ((bool | int, "int"), (float, "double"))


def values(path: Path, named: Mapping[str, Any], units: Mapping[str, str], title: str) -> Path:
    """Write named values.

    Raises:
        ValueError: for another ending than `ENDINGS`, or names that are the same in that language.
        OSError: if it cannot be written.
    """
    texts: dict[str, Callable[[], str]] = {
        ".json": lambda: for_others(named),
        ".h": lambda: _header(path, title, _constants(path, named, units)),
    }
    return _written(path, texts, lambda: dict(zip(identifiers(named), named.values(), strict=True)))


def layers(path: Path, of: Layers, form: Mapping[str, Any], title: str) -> Path:
    """Write a map or a network: W and b of each layer, and how its outputs become an action.

    Raises:
        ValueError: for another ending than `ENDINGS`, or in C for a policy that draws its actions.
        OSError: if it cannot be written.
    """
    arrays = {
        f"{name}{i}": x for i, pair in enumerate(of, start=1) for name, x in zip("Wb", pair, strict=True)
    }
    about = {name: form[name] for name in ("observation", "choices", "draws", "action") if name in form}
    texts: dict[str, Callable[[], str]] = {
        ".json": lambda: for_others({**arrays, **about}),
        ".h": lambda: _header(path, title, _network(path, of, form)),
    }
    return _written(path, texts, lambda: {**arrays, **about})


def check_ending(path: Path, endings: Sequence[str] = ENDINGS) -> None:
    """Raise ValueError for a file of another ending."""
    if path.suffix not in endings:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(endings[:-1])} or {endings[-1]}")


def _written(
    path: Path, texts: Mapping[str, Callable[[], str]], structure: Callable[[], dict[str, Any]]
) -> Path:
    check_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in texts:
        write_text(path, texts[path.suffix]())
        return path
    from scipy.io import savemat  # noqa: PLC0415 - slow to import

    buffer: Any = io.BytesIO()
    savemat(buffer, {identifiers([path.stem])[0]: structure()}, long_field_names=True, oned_as="column")
    with replacing(path) as file:
        file.write(buffer.getvalue())
    return path


def identifiers(names: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Names as C and MATLAB take them: letters, digits and underscores.

    Raises:
        ValueError: for names that become the same.
    """
    plain = [re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") for name in names]
    plain = [name if name[:1].isalpha() else f"p{name}" for name in plain]
    if twice := [name for name in plain if plain.count(name) > 1]:
        raise ValueError(
            f"names: several of {', '.join(names)} become {twice[0]} there; choose others, or .json"
        )
    return plain


def _header(path: Path, title: str, lines: Sequence[str]) -> str:
    """A C header with these lines."""
    guard = f"{identifiers([path.stem])[0].upper()}_H"
    about = title.replace("*/", "* /")
    head = [f"/* {about}; written by policysearch {policysearch.__version__}. */"]
    return "\n".join(
        [*head, f"#ifndef {guard}", f"#define {guard}", "", *lines, "", f"#endif /* {guard} */", ""]
    )


def _constants(path: Path, named: Mapping[str, Any], units: Mapping[str, str]) -> list[str]:
    stem = identifiers([path.stem])[0]
    infinite = any(isinstance(value, float) and np.isinf(value) for value in named.values())
    lines = ["#include <math.h>", ""] if infinite else []
    for (name, value), plain in zip(named.items(), identifiers(named), strict=True):
        kind = next((name for types, name in KINDS if isinstance(value, types)), "char *const")
        text = json.dumps(value) if isinstance(value, str) else _number(value)
        about = f"{name}, {units[name]}" if units.get(name) else name
        lines.append(f"static const {kind} {stem}_{plain} = {text}; /* {about.replace('*/', '* /')} */")
    return lines


def _number(value: float) -> str:
    """A number in C, every digit of it."""
    if isinstance(value, bool | int):
        return str(int(value))
    return repr(float(value)) if np.isfinite(value) else ("-" if value < 0 else "") + "INFINITY"


def _array(name: str, values: Sequence[float] | np.ndarray, kind: str = "double") -> str:
    numbers = ", ".join(_number(x) for x in np.asarray(values).ravel().tolist())
    return f"static const {kind} {name}[{np.size(values)}] = {{{numbers}}};"


def _network(path: Path, of: Layers, form: Mapping[str, Any]) -> list[str]:
    """The arrays of the layers, and a function that acts.

    Raises:
        ValueError: for a policy that draws its actions.
    """
    if "draws" in form:
        raise ValueError(
            f"{path}: the policy draws its actions, for which there is no C; write .json or .mat"
        )
    stem, action = identifiers([path.stem])[0], form["action"]
    observed = 1 if "observation" in form else form["obs_size"]
    actions = len(action["low" if action["kind"] == "numbers" else "first"])
    lines = ["#include <math.h>", "", f"#define {stem.upper()}_OBSERVATIONS {observed}"]
    lines += [f"#define {stem.upper()}_ACTIONS {actions}", ""]
    for i, (W, b) in enumerate(of, start=1):
        lines += [_array(f"{stem}_W{i}", W), _array(f"{stem}_b{i}", b)]
    names = ("low", "high") if action["kind"] == "numbers" else ("first",)
    lines += [_array(f"{stem}_{name}", action[name]) for name in names]
    return [*lines, "", *_function(stem, [W.shape for W, _ in of], form)]


def _function(stem: str, shapes: Sequence[tuple[int, ...]], form: Mapping[str, Any]) -> list[str]:
    """`stem_act`: one layer after the other, then the action."""
    lines = [
        "/* Writes the action; returns 0, or 1 if the observation does not give one. */",
        f"static int {stem}_act(const double *obs, double *action)",
        "{",
        f"    double h0[{shapes[0][1]}];",
    ]
    lines += [f"    double h{i}[{rows}];" for i, (rows, _) in enumerate(shapes, start=1)]
    if first := form.get("observation"):
        lines += [
            f"    int seen = (int)obs[0] - {first['first']};",
            f"    if (seen < 0 || seen >= {shapes[0][1]}) return 1;",
            f"    for (int j = 0; j < {shapes[0][1]}; j++) h0[j] = (j == seen);",
        ]
    else:
        lines.append(f"    for (int j = 0; j < {shapes[0][1]}; j++) h0[j] = obs[j];")
    for i, (rows, columns) in enumerate(shapes, start=1):
        squash = "z" if i == len(shapes) else "tanh(z)"
        lines += [
            f"    for (int i = 0; i < {rows}; i++) {{",
            f"        double z = {stem}_b{i}[i];",
            f"        for (int j = 0; j < {columns}; j++) z += {stem}_W{i}[i * {columns} + j] * h{i - 1}[j];",
            f"        h{i}[i] = {squash};",
            "    }",
        ]
    lines.append(f"    for (int i = 0; i < {shapes[-1][0]}; i++) if (!isfinite(h{len(shapes)}[i])) return 1;")
    return [*lines, *_action(stem, f"h{len(shapes)}", form), "    return 0;", "}"]


def _action(stem: str, output: str, form: Mapping[str, Any]) -> list[str]:
    """From the outputs to the action: within the limits, or the first of the largest logits of each block."""
    if form["action"]["kind"] == "numbers":
        x = f"fmin(fmax({output}[i], {stem}_low[i]), {stem}_high[i])"
        whole = not form["action"]["dtype"].startswith("float")
        return [
            f"    for (int i = 0; i < {len(form['action']['low'])}; i++) action[i] = {f'rint({x})' if whole else x};"
        ]
    lines, start = [], 0
    for k, choices in enumerate(form["choices"]):
        lines += [
            "    {",
            "        int best = 0;",
            f"        for (int i = 1; i < {choices}; i++)",
            f"            if ({output}[{start} + i] > {output}[{start} + best]) best = i;",
            f"        action[{k}] = {stem}_first[{k}] + best;",
            "    }",
        ]
        start += choices
    return lines
