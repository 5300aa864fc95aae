"""External programs as evaluators: real scripts and a real compiled program."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.core import Evaluation, Proposal
from policysearch.evaluators import FunctionEvaluator, ProgramEvaluator, printed, programs
from policysearch.optimizers import RandomSearch
from policysearch.search import Budget, generations
from policysearch.seeding import seed_of, stream
from policysearch.space import Choice, Parameter, Space

SPACE = Space((Parameter("kp", 1.0, 0.1, 10.0, scale="log"), Parameter("kd", 0.5, step=0.1)))
CC = shutil.which("cc")
HINT = 'print the return alone on the last line, as 0.42 or as {"return": 0.42}'
ARGUMENTS = "--kp {kp} --kd {kd} --seed {seed}"


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Writes an executable script; gives the command that runs it with the parameters and the seed."""

    def write(text: str, interpreter: str = "/bin/sh", arguments: str = ARGUMENTS) -> str:
        path = tmp_path / f"program {len(list(tmp_path.iterdir()))}"
        path.write_text(f"#!{interpreter}\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return f"'{path}' {arguments}"

    return write


def run(command: str, params: Any = ((0.5, 5.0),), episodes: int = 1, **options: Any) -> Evaluation:
    rows = np.array(params)
    evaluator = ProgramEvaluator(command, options.pop("space", SPACE), **options)
    return evaluator.evaluate(Proposal(rows, rows[0], episodes), (1,))


def only_reason(found: Evaluation) -> str:
    assert np.isnan(found.returns).all()
    assert found.steps.tolist() == [[1]]
    (failure,) = found.failures
    return failure.reason


def test_values_are_put_into_arguments_and_never_become_others(
    script: Callable[..., str], tmp_path: Path
) -> None:
    space = Space(
        (
            Parameter("kp", 0.1),
            Parameter("n", 3, 1, 9, integer=True),
            Choice("mode", ("a b", "$HOME; x"), "a b"),
        )
    )
    text = f"import json, sys\njson.dump(sys.argv[1:], open({str(tmp_path / 'log')!r}, 'w'))\nprint(1)"
    arguments = "--kp={kp} {n} {mode} 'x {mode}{n:03d}' {{kp}} {kp:.3f} {seed}"
    point = space.of_names({"kp": 0.1, "n": 4, "mode": "$HOME; x"})
    found = run(script(text, sys.executable, arguments), [point], space=space)
    assert found.failures == ()
    seed = str(seed_of(1, "episode", 0))
    seen = json.loads((tmp_path / "log").read_text(encoding="utf-8"))
    assert seen == ["--kp=0.1", "4", "$HOME; x", "x $HOME; x004", "{kp}", "0.100", seed]


def test_a_file_holds_all_parameters_and_the_seed_and_is_gone_afterwards(
    script: Callable[..., str], tmp_path: Path
) -> None:
    space = Space((Parameter("kp", 0.1), Choice("mode", ("a", "b"), "b")))
    command = script(f"echo $1 > '{tmp_path}/log'; cat $1 >> '{tmp_path}/log'; echo 1", arguments="{json}")
    assert run(command, [space.domain.start], space=space).failures == ()
    path, content = (tmp_path / "log").read_text(encoding="utf-8").split("\n")
    assert json.loads(content) == {"kp": 0.1, "mode": "b", "seed": seed_of(1, "episode", 0)}
    assert not Path(path).parent.exists()


SLOW_SUM = 'echo started; [ $(($6 % 2)) = 0 ] && sleep 0.05; awk "BEGIN { printf \\"%.17g\\\\n\\", $2 + $4 + $6 % 7 }"'


def slope(params: Any, seed: int) -> float:
    return params["kp"] + params["kd"] + seed % 7


def test_the_results_are_those_of_a_function_whatever_the_number_of_workers(
    script: Callable[..., str],
) -> None:
    params = stream(1).standard_normal((4, 2))
    asked, command = Proposal(params, params[0], 3), script(SLOW_SUM)
    expected = FunctionEvaluator(slope, SPACE).evaluate(asked, (7,))
    for workers in (1, 3):
        found = ProgramEvaluator(command, SPACE, workers=workers).evaluate(asked, (7,))
        assert found.failures == ()
        assert found.returns == pytest.approx(expected.returns, rel=1e-12)
        assert (found.steps == 1).all()


def test_programs_run_at_the_same_time_but_no_more_than_workers(
    script: Callable[..., str], tmp_path: Path
) -> None:
    lock = tmp_path / "running"
    lock.mkdir()
    command = script(f"touch '{lock}'/$$; sleep 0.2; ls '{lock}' | wc -l; rm '{lock}'/$$")
    found = run(command, np.zeros((6, 2)), workers=3)
    assert 2 <= found.returns.max() <= 3
    assert run(command, np.zeros((3, 2)), workers=1).returns.max() == 1


@pytest.mark.skipif(CC is None, reason="needs a C compiler")
def test_a_compiled_program_is_searched(tmp_path: Path) -> None:
    source = tmp_path / "plant.c"
    source.write_text(
        "#include <stdio.h>\n#include <stdlib.h>\nint main(int n, char **a) { double k = atof(a[1]), d = atof(a[2]);"
        'printf("{\\"return\\": %.17g, \\"steps\\": 20, \\"peak\\": %g}\\n", (k - 3) * (k - 3) + d * d, k); return 0; }\n',
        encoding="utf-8",
    )
    subprocess.run([str(CC), "-o", str(tmp_path / "plant"), str(source)], check=True)
    evaluator = ProgramEvaluator(f"'{tmp_path}/plant' {{kp}} {{kd}}", SPACE, workers=2, goal="minimise")
    turns = list(generations(RandomSearch(), evaluator, SPACE.domain, budget=Budget(40), seed=1))
    evaluations = [turn.evaluation for turn in turns]
    for evaluation in evaluations:
        kp, kd = SPACE.decode(evaluation.params).T
        assert evaluation.returns[:, 0] == pytest.approx(-((kp - 3) ** 2) - kd**2)
        assert evaluation.metrics["peak"][:, 0] == pytest.approx(kp, rel=1e-5)
        assert (evaluation.steps == 20).all()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("echo 1.5", 1.5),
        ("echo 7; echo; echo ' -2e3 '; echo; echo '  '", -2000.0),
        ("printf 3", 3.0),
        ("printf 'hello\\r\\n4\\r\\n'", 4.0),
        ("""echo '{"return": -1, "overshoot": 0.5}'""", -1.0),
        ("printf '\\377\\n'; echo 2", 2.0),
        ("exec 1>&1 2>&-; echo 5", 5.0),
        ("echo 6; exec >&- 2>&-; sleep 0.2", 6.0),
        ("printf '\\377\\3768\\0.\\0005\\0'", 8.5),  # UTF-16 with its mark
        ("printf ' 50 %%\\r100 %%\\r{\\n  \"return\": 9\\n}\\n'", 9.0),
        ("head -c 5000000 /dev/zero | tr '\\0' x; echo; head -c 5000000 /dev/zero >&2; echo 8", 8.0),
    ],
)
def test_the_last_line_that_a_program_prints_is_its_return(
    script: Callable[..., str], text: str, value: float
) -> None:
    found = run(script(text))
    assert found.failures == ()
    assert found.returns.tolist() == [[value]]
    assert found.retried_rollouts == 0


def test_of_a_long_output_only_the_end_is_kept(
    script: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printed, "KEPT_BYTES", 1000)
    found = run(script("head -c 300000 /dev/zero | tr '\\0' e >&2; exit 3"))
    assert only_reason(found) == "exit code 3: " + 200 * "e"
    assert found.failures[0].traceback == 1000 * "e"


def test_a_number_whose_beginning_may_be_cut_off_is_none(script: Callable[..., str]) -> None:
    found = run(script("printf x; head -c 3000000 /dev/zero | tr '\\0' 0"))
    assert only_reason(found) == "exit code 0, but its last line is longer than 100000 characters"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo 1; echo oh dear >&2; echo >&2; exit 3", "exit code 3: oh dear"),
        ("exit 4", "exit code 4"),
        ("kill -SEGV $$", "exit code -11 (SIGSEGV)"),
        ("true", "exit code 0, but it printed nothing; expected the return as its last line"),
        (
            "echo; echo lost >&2",
            "exit code 0, but it printed nothing; expected the return as its last line: lost",
        ),
        ("echo done", f"exit code 0, but its last line is no number and no JSON object: 'done'; {HINT}"),
        ("echo nan", "exit code 0, but it returned nan"),
        ("echo -inf; echo diverged >&2", "exit code 0, but it returned -inf: diverged"),
        ("echo '{\"return\": NaN}'", "exit code 0, but it returned nan"),
        (
            "echo '{\"reward\": 1}'",
            "exit code 0, but expected 'return' among the names, got reward; call what counts 'return'",
        ),
    ],
)
def test_a_failure_says_the_exit_code_and_the_last_line_of_the_errors(
    script: Callable[..., str], text: str, reason: str
) -> None:
    found = run(script(text))
    assert only_reason(found).endswith(reason)
    assert found.retried_rollouts == 1


def test_the_errors_of_a_program_are_kept_with_its_failure(script: Callable[..., str]) -> None:
    found = run(script("print(2)\nraise RuntimeError('!')", sys.executable))
    assert only_reason(found) == "exit code 1: RuntimeError: !"
    assert found.failures[0].traceback.startswith("Traceback")
    assert found.failures[0].seed == seed_of(1, "episode", 0)


def test_a_program_that_fails_once_is_run_again_with_the_same_arguments(
    script: Callable[..., str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    found = run(script(f"echo $* >> '{log}'; [ $(wc -l < '{log}') != 1 ] && echo 2.5"))
    assert found.returns.tolist() == [[2.5]]
    assert (found.failures, found.retried_rollouts) == ((), 1)
    first, second = log.read_text(encoding="utf-8").splitlines()
    assert first == second


def alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(holds: Callable[[], bool]) -> bool:
    """Whether it holds, now or within ten seconds."""
    end = time.monotonic() + 10.0
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@ON_LINUX
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("sleep 60 & echo $! > '{0}'; echo slow >&2; wait", "-15 (SIGTERM)"),
        (
            "trap '' TERM; sleep 60 & echo $! > '{0}'; echo slow >&2; while :; do sleep 60; done",
            "-9 (SIGKILL)",
        ),
        (
            "sh -c \"trap '' TERM; sleep 60; sleep 60\" & echo $! > '{0}'; echo slow >&2; wait",
            "-15 (SIGTERM)",
        ),
    ],
)
def test_a_time_out_ends_the_program_and_all_that_it_started(
    script: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: str
) -> None:
    monkeypatch.setattr(programs, "GRACE_SECONDS", 0.3)
    child = tmp_path / "child"
    found = run(script(text.format(child)), timeout=0.4)
    assert only_reason(found) == f"it took more than 0.4 s (exit code {code}): slow"
    assert found.retried_rollouts == 1
    assert until(lambda: not alive(int(child.read_text(encoding="utf-8"))))


@ON_LINUX
def test_what_a_program_leaves_behind_neither_holds_up_its_result_nor_stays(
    script: Callable[..., str], tmp_path: Path
) -> None:
    child = tmp_path / "child"
    found = run(script(f"sleep 600 & echo $! > '{child}'; echo 2"))
    assert found.returns.tolist() == [[2.0]]
    assert until(lambda: not alive(int(child.read_text(encoding="utf-8"))))


PARENT = """
import sys
import numpy as np
from policysearch.core import Proposal
from policysearch.evaluators import ProgramEvaluator
from policysearch.space import Parameter, Space

space = Space((Parameter("x", 0.0),))
evaluator = ProgramEvaluator(sys.argv[1], space, workers=2)
print("ready", flush=True)
evaluator.evaluate(Proposal(np.zeros((8, 1)), np.zeros(1)), (1,))
"""


@ON_LINUX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_program_outlives_an_interrupt_or_the_death_of_its_parent(
    script: Callable[..., str], tmp_path: Path, number: signal.Signals
) -> None:
    if number == signal.SIGKILL and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    pids = tmp_path / "pids"
    pids.mkdir()
    program = script(f"touch '{pids}'/$$; exec sleep 600", arguments="{x}")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, program], stderr=subprocess.PIPE, text=True
    ) as parent:
        try:
            assert until(lambda: len(list(pids.iterdir())) == 2)
            parent.send_signal(number)
            _, errors = parent.communicate(timeout=20)
        finally:
            parent.kill()
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    started = [int(path.name) for path in pids.iterdir()]
    assert len(started) == 2  # and no others were begun
    assert until(lambda: not any(map(alive, started)))


def test_constraints_and_violations_are_those_of_functions(script: Callable[..., str]) -> None:
    command = script("""echo '{"return": 3, "violation": '$4'}'""")
    found = run(
        command, [[0.5, 5.0], [0.5, 30.0], [0.5, -5.0]], constraints=["kd <= 2 * kp"], goal="minimise"
    )
    assert [f.reason for f in found.failures] == [
        "it reports a violation of 0.5",
        "not run, as the parameters break kd <= 2 * kp (by 1)",
    ]
    assert found.returns[2, 0] == -3.0
    assert found.steps.tolist() == [[1], [0], [1]]


def test_a_program_that_cannot_be_started_fails_its_episode(
    script: Callable[..., str], tmp_path: Path
) -> None:
    evaluator = ProgramEvaluator(script("echo 1"), SPACE)
    next(tmp_path.iterdir()).unlink()
    (failure,) = evaluator.evaluate(Proposal(np.zeros((1, 2)), np.zeros(2)), (1,)).failures
    assert "No such file" in failure.reason


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "command: expected a program that can be run, got ''"),
        (
            "./no-such-program {kp} {kd}",
            "command: expected a program that can be run, got './no-such-program'",
        ),
        ("/etc/passwd {kp} {kd}", "command: expected a program that can be run, got '/etc/passwd'"),
        ("{kp} {kd}", "command: expected a program that can be run, got '{kp}'"),
        (
            "echo {kp} {ki}",
            "command: expected placeholders among kp, kd, seed, cutoff, json, dir, worker, here, got {ki}",
        ),
        (
            "echo {kp} {kd} {}",
            "command: expected placeholders among kp, kd, seed, cutoff, json, dir, worker, here, got {}",
        ),
        ("echo {kp} {kd.real}", "got {kd.real}"),
        ("echo {kp} {seed}", "command: expected every parameter, or {json}, got none of kd"),
        ("echo {kp} '{kd}", "command: No closing quotation"),
        ("echo {kp} {kd", "command: expected '}' before end of string"),
        ("echo {kp} kd}", "command: Single '}' encountered"),
        ("echo {kp:q} {kd}", "command: Unknown format code 'q'"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_before_the_first_run(command: str, message: str) -> None:
    with pytest.raises(ValueError, match="command: ") as caught:
        ProgramEvaluator(command, SPACE)
    assert message in str(caught.value)


def test_limits_and_names_that_make_no_sense_are_refused() -> None:
    for option in ("workers", "timeout"):
        with pytest.raises(ValueError, match=f"{option}: expected a positive number, got 0"):
            ProgramEvaluator("echo {kp} {kd}", SPACE, **{option: 0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="space: expected other names than seed, hopeless, json, got seed"):
        ProgramEvaluator("echo {seed}", Space((Parameter("seed", 1.0),)))
    with pytest.raises(ValueError, match="expected one of the parameters kp, kd, got 'ki'"):
        ProgramEvaluator("echo {json}", SPACE, constraints=["ki < 2"])


def test_a_program_has_no_actions() -> None:
    proposal = Proposal(np.zeros((1, 2)), np.zeros(2), record=True)
    with pytest.raises(ValueError, match="no actions to draw or record"):
        ProgramEvaluator("echo {json}", SPACE).evaluate(proposal, (1,))
