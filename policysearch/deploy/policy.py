"""A saved policy that acts by itself: from an observation of the environment to its action.

Maps and networks need NumPy and the standard library only; the environment's package, Gymnasium and Numba need not be
installed. Controllers need Numba, as their laws are compiled.
"""

import json
import math
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from policysearch.deploy import export, files
from policysearch.plain_data import decode, encode

Vector = np.ndarray
#: Formats of files, with one vector and with any number.
ONE, MANY = "policysearch recommendation 1", "policysearch recommendations 1"


class SavedPolicy:
    """What `load` returns.

    Args:
        form: what `policysearch.deploy.forms` says of the policy.
        params: its parameters.
        header: of the file: task, method, run and return.
        seed: of the draws, where the policy draws its actions.

    Raises:
        ValueError: if form and parameters do not fit each other.
    """

    def __init__(
        self, form: dict[str, Any], params: Vector, header: dict[str, Any], seed: int | None = None
    ) -> None:
        self.form, self.params, self.header = form, params, header
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._size, self._first = int(form["obs_size"]), form.get("observation", {}).get("first")
        self._output = self._of_controller() if "controller" in form else self._of_layers()
        self._blocks = [*pairwise(accumulate(form.get("choices", ()), initial=0))]  # of logits
        self._chosen = self._draw if "draws" in form else self._largest
        self._action = form["action"]
        self._finish = {"index": self._index, "indices": self._indices, "numbers": self._numbers}[
            self._action["kind"]
        ]

    def act(self, obs: Any) -> Any:
        """The action for an observation, both as the environment has them.

        Discrete actions are integers, continuous ones arrays within the limits of the action space. Observations of
        several parts (Dict, Tuple) are given as the vector that `gymnasium.spaces.flatten` makes of them.

        Raises:
            ValueError: for an observation of another size, or one for which the action is not a finite number.
        """
        if self._first is None:
            x = np.asarray(obs, dtype=float)
            x = x if x.ndim == 1 else x.ravel()
            if x.size != self._size:
                raise ValueError(f"obs: expected {self._size} numbers, got {x.size}")
        else:
            index = int(obs) - self._first
            if not 0 <= index < self._size:
                raise ValueError(
                    f"obs: expected {self._first} … {self._first + self._size - 1}, got {obs!r:.40}"
                )
            x = np.zeros(self._size)
            x[index] = 1.0
        output = self._output(x).tolist()
        if not all(map(math.isfinite, output)):
            raise ValueError(f"obs: the action for {x.tolist()} is not a finite number: {output}")
        return self._finish(output)

    def reset(self) -> None:
        """Forget what happened: to be called at the beginning of an episode by who has a controller with memory."""
        if "controller" in self.form:
            self._state[:] = 0.0

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """W and b of every layer; none of a controller.

        Raises:
            ValueError: if the parameters do not fit.
        """
        sizes, bias, found, at = self.form.get("sizes", []), self.form.get("bias"), [], 0
        for columns, rows in pairwise(sizes):
            W, b = self.params[at : at + rows * columns], np.zeros(rows)
            at += rows * columns
            if bias:
                b = self.params[at : at + rows]
                at += rows
            found.append((W.reshape(rows, columns), b))
        more = self.params.size - at
        if sizes and more not in (0, sizes[-1]):  # log standard deviations come last
            raise ValueError(f"expected {at} parameters, got {self.params.size}")
        return found

    @property
    def values(self) -> dict[str, float]:
        """The parameters of a controller by name, in their own units; those of a map by their places."""
        if "controller" in self.form:
            return dict(self._controller.space.named(self.params))
        return dict(zip(self.header["param_names"], self.params.tolist(), strict=True))

    def export(self, path: Path | str) -> Path:
        """Write the policy for another program; the ending of the name says which: .json, .h, .mat, or .npz.

        Raises:
            ValueError: for another ending, or a policy that this language cannot express.
            OSError: if it cannot be written.
        """
        path = Path(path)
        export.check_ending(path, (*export.ENDINGS, ".npz"))
        if path.suffix == ".npz":
            names = self.header["param_names"]
            entry = {
                name: value for name, value in self.header.items() if name not in ("format", "param_names")
            }
            header = {"format": MANY, "param_names": [names], "entries": [entry | {"param_names": 0}]}
            header["entries"][0]["form"] = encode(self.form)
            return files.write(path, json.dumps(header), [self.params])
        if "controller" in self.form:
            units = {p.name: p.unit for p in self._controller.space.parameters}
            return export.values(path, self.values, units, self.title)
        return export.layers(path, self.layers, self.form, self.title)

    @property
    def title(self) -> str:
        """Where the policy comes from, in words."""
        header = self.header
        return f"{header['task']}, {header['optimizer']}, run {header['run']} of seed {header['seed']}"

    def _of_layers(self) -> Callable[[Vector], Vector]:
        *hidden, (W_last, b_last) = self.layers

        def output(x: Vector) -> Vector:
            for W, b in hidden:
                x = np.tanh(W.dot(x) + b)
            return np.asarray(W_last.dot(x) + b_last)

        return output

    def _of_controller(self) -> Callable[[Vector], Vector]:
        from policysearch.deploy.controllers import rebuilt  # noqa: PLC0415 - imports Numba

        controller = self._controller = rebuilt(self.form)
        kernel, state = controller.kernel, np.zeros(controller.state_size)
        scratch, silence, self._state = np.empty(kernel.scratch_size), np.empty(0), state
        action = np.empty(controller.action_size)

        def output(x: Vector) -> Vector:
            kernel.act(self.params, x, state, silence, scratch, action)
            return action

        return output

    def _largest(self, logits: list[float]) -> list[int]:
        """The first of the largest logits of each action."""
        return [(part := logits[i:j]).index(max(part)) for i, j in self._blocks]

    def _draw(self, logits: list[float]) -> list[int]:
        """An alternative of each action, with its probability."""
        tau, found = self.form["draws"]["temperature"], []
        for i, j in self._blocks:
            part = np.array(logits[i:j]) / tau
            cumulative = np.cumsum(np.exp(part - part.max()))
            found.append(int((self._rng.random() * cumulative[-1] >= cumulative[:-1]).sum()))
        return found

    def _index(self, logits: list[float]) -> int:
        return int(self._chosen(logits)[0] + self._action["first"][0])

    def _indices(self, logits: list[float]) -> Any:
        action = self._action
        found = [x + first for x, first in zip(self._chosen(logits), action["first"], strict=True)]
        return np.array(found, dtype=action["dtype"]).reshape(action["shape"])

    def _numbers(self, numbers: list[float]) -> Any:
        action = self._action
        if "draws" in self.form:
            spread = np.exp(self.params[-len(numbers) :])
            numbers = (numbers + spread * self._rng.standard_normal(len(numbers))).tolist()
        limits = zip(numbers, action["low"], action["high"], strict=True)
        clipped = [min(max(x, low), high) for x, low, high in limits]
        whole = not action["dtype"].startswith("float")
        return np.array(np.rint(clipped) if whole else clipped, dtype=action["dtype"]).reshape(
            action["shape"]
        )


def load(path: Path | str, seed: int | None = None) -> SavedPolicy:
    """A saved policy that acts: `policysearch.load("study/recommendations.npz/TASK/METHOD/RUN").act(obs)`.

    Args:
        path: of a file of saved policies, followed by the name of one, or by a part of the name that no other has.
            The file alone, if it holds one policy.
        seed: of the draws, where the study deployed the policy by drawing its actions; None draws anew each time.

    Raises:
        ValueError: if the file is missing or is not one of saved policies, if the path fits no policy or several, or
            if the file does not say how the policy acts.
        ImportError: for a controller, where Numba is not installed.
    """
    path = Path(path)
    file = files.file_of(path)
    try:
        headers = _headers(file)
        names = {entry: _name(header) for entry, header in headers.items()}
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except Exception as error:  # whatever is wrong with a file
        raise ValueError(f"{path}: expected a saved policy (.npz), got: {error}") from error
    entry = files.chosen(names, file, path.relative_to(file))
    header = headers[entry]
    if not header.get("form"):
        raise ValueError(
            f"{path}: does not say how its policy acts: it was written by an earlier version, or its policy is of "
            "another package; policysearch compare export FILE/TASK/METHOD/RUN --out policy.npz asks its environment"
        )
    try:
        (params,) = files.entries(file, [entry])
        return SavedPolicy(decode(header["form"]), np.array(params, dtype=float).ravel(), header, seed)
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: the policy does not fit its parameters: {error}") from error


def _headers(file: Path) -> dict[str, dict[str, Any]]:
    """The header of every vector, by the entry that holds its parameters."""
    data = json.loads(str(files.entries(file, ["header"])[0]))
    if data["format"] == ONE:
        return {"params": data}
    if data["format"] != MANY:
        raise ValueError(f"format {data['format']!r}, which this version does not know")
    names = data["param_names"]
    return {
        str(i): entry | {"param_names": names[entry["param_names"]]}
        for i, entry in enumerate(data["entries"])
    }


def _name(header: dict[str, Any]) -> files.Name:
    number = header["failed"].get("number", 0) if header.get("failed") else None
    return files.Name(str(header["task"]), str(header["optimizer"]), int(header["run"]), number)
