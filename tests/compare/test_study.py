"""The study model: what it accepts, and how it refuses."""

import copy
import dataclasses
import math
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.compare.study import Study, StudyError
from policysearch.optimizers import ARS, CMAES, OPTIMIZERS, RandomSearch, Repeated, find_method
from policysearch.search import Budget
from policysearch.tasks import Task, find_task, parse_policy

VALID: dict[str, Any] = {
    "tasks": {"lqr": {"rollouts": 40}},
    "optimizers": {"random-search": {}, "wide": {"method": "ars", "sigma": 0.5}},
    "rollouts": 60,
    "runs": 2,
}


def refused(**changes: Any) -> str:
    with pytest.raises(StudyError) as caught:
        Study.resolve({**copy.deepcopy(VALID), **changes})
    return "\n".join(caught.value.problems)


def test_a_study_knows_its_tasks_methods_and_budgets() -> None:
    study = Study.resolve({**VALID, "tasks": {"lqr": {"rollouts": 40}, "CartPole-v1": {"policy": "mlp:4"}}})
    assert (study.budget("lqr"), study.budget("CartPole-v1")) == (Budget(40), Budget(60))
    assert study.optimizer("lqr", "wide") == ARS(sigma=0.5)
    assert study.task("CartPole-v1").policy == "mlp:4"
    assert study.task("lqr").policy == "linear"


def test_names_in_a_list_and_the_prefix_whitened_are_shorthand() -> None:
    study = Study.resolve({"tasks": ["lqr"], "optimizers": ["whitened:ars", "cma-es"]})
    assert study.optimizers["whitened:ars"].whitened
    assert study.optimizers["whitened:ars"].method == "ars"
    assert study.optimizer("lqr", "cma-es") == CMAES()


@dataclasses.dataclass(frozen=True)
class Paper(RandomSearch):
    """A method whose source has another value than the default."""

    source: ClassVar[dict[str, Any]] = {"population_size": 7}


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIMIZERS._known, "paper", Paper)


@pytest.mark.parametrize(
    ("optimizers", "more", "expected"),
    [
        (["paper"], {}, Paper()),
        (["paper"], {"settings": "default"}, Paper()),
        (["paper"], {"settings": "source"}, Paper(7)),
        (["source:paper"], {}, Paper(7)),
        (["whitened:source:paper"], {}, Paper(7)),
        (["source:whitened:paper"], {}, Paper(7)),
        ({"x": {"method": "paper", "settings": "source"}}, {}, Paper(7)),
        ({"x": {"method": "paper", "settings": "default"}}, {"settings": "source"}, Paper()),
        ({"paper": {"population_size": 3}}, {"settings": "source"}, Paper(3)),
        ({"source:paper": {"population_size": 3}}, {}, Paper(3)),
    ],
)
def test_the_values_of_the_source_are_those_that_are_not_named(
    paper: None, optimizers: Any, more: dict[str, Any], expected: Paper
) -> None:
    study = Study.resolve({"tasks": ["lqr"], "optimizers": optimizers, **more})
    (label,) = study.optimizers
    assert study.optimizer("lqr", label) == expected
    assert study.optimizers[label].whitened == ("whitened" in label)
    again = Study.resolve(study.document())  # which says so, and spells them out
    assert again.document() == study.document()
    assert again.optimizer("lqr", label) == expected
    assert again.optimizers[label].settings == study.optimizers[label].settings


def test_both_settings_of_a_method_stand_in_one_study_and_the_options_of_a_task_change_either(
    paper: None,
) -> None:
    tasks = {"lqr": {"options": {"source:paper": {"population_size": 5}}}, "CartPole-v1": {}}
    study = Study.resolve({"tasks": tasks, "optimizers": ["paper", "source:paper"]})
    found = [study.optimizer(task, label) for task in tasks for label in study.optimizers]
    assert found == [Paper(), Paper(5), Paper(), Paper(7)]
    assert "settings" not in study.document()["optimizers"]["paper"]


def test_a_source_with_a_hyperparameter_that_the_method_has_not_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = dataclasses.make_dataclass(
        "Wrong", [], bases=(RandomSearch,), frozen=True, namespace={"source": {"size": 7}}
    )
    monkeypatch.setitem(OPTIMIZERS._known, "wrong", wrong)
    with pytest.raises(ValueError, match="optimizer wrong: source: expected some of population_size"):
        find_method("wrong")


def test_its_document_describes_the_same_study() -> None:
    study = Study.resolve({**VALID, "optimizers": ["whitened:ars", "cma-es"], "policy": "mlp:3"})
    again = Study.resolve(study.document())
    assert again.document() == study.document()
    assert again.optimizer("lqr", "cma-es") == study.optimizer("lqr", "cma-es")
    assert study.document()["optimizers"]["cma-es"]["sigma"] == 0.3  # defaults are spelled out


def test_episodes_per_candidate_repeat_what_does_not_repeat_itself() -> None:
    study = Study.resolve({**VALID, "episodes_per_candidate": 2})
    assert study.optimizer("lqr", "random-search") == Repeated(VALID_RANDOM, 2)


VALID_RANDOM = Study.resolve(VALID).optimizers["random-search"].build()


def test_five_mistakes_are_all_reported() -> None:
    message = refused(
        tasks={"CartPol-v1": {}, "lqr": {"rollout": 3}},
        optimizers={"cma-ess": {}, "ars": {"sigma": -1.0}},
        runs=0,
        sed=3,
    )
    assert "tasks.CartPol-v1: unknown task; did you mean CartPole-v1" in message
    assert "tasks.lqr.rollout: not an option; did you mean" in message or "tasks.lqr.rollout" in message
    assert "optimizers.cma-ess: unknown optimizer 'cma-ess'; did you mean cma-es" in message
    assert "sigma: expected a positive number, got -1.0" in message
    assert "runs: Input should be greater than or equal to 1, got 0" in message
    assert "sed: not an option; did you mean seed?" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizers": {"cma-es": {"sigm": 1.0}}}, "sigm: not an option; did you mean sigma?"),
        ({"optimizers": {"cma-es": {"sigma": "wide"}}}, "sigma: Input should be a valid number"),
        ({"optimizers": {"cma-es": {"sigma": math.nan}}}, "sigma: Input should be a finite number"),
        ({"optimizers": {"genetic": {"selection": "roulette"}}}, "selection: Input should be 'tournament' or"),
        ({"optimizers": {"cross-entropy": {"elites": 60}}}, "expected 2 <= elites <= population_size = 50, got 60"),
        ({"optimizers": {}}, "optimizers: expected at least 1, got none"),
        ({"tasks": {}}, "tasks: expected at least 1, got none"),
        ({"policy": "linaer"}, "policy: unknown policy 'linaer'; did you mean linear"),
        ({"policy": "mlp:0"}, "policy 'mlp:0': expected hidden layers only for mlp, as in mlp:32,32"),
        ({"policy": "linear:3"}, "policy 'linear:3': expected hidden layers only for mlp"),
        ({"policy": "softmax-linear"}, "tasks.lqr: policy 'softmax-linear' is for discrete actions"),
        ({"policy": "tabular"}, "tasks.lqr: policy 'tabular' is for discrete actions"),
        ({"tasks": ["CartPole-v1"], "policy": "gaussian-mlp"}, "policy 'gaussian-mlp' is for continuous actions"),
        ({"tasks": ["CartPole-v1"], "policy": "tabular"}, "policy 'tabular' is for Discrete observations"),
        ({"tasks": {"lqr": {"rollouts": 9}}}, "a budget of 9 rollouts is smaller than one generation of random-search (10), wide (16)"),
        ({"report_episodes": 5}, "report_episodes: Input should be greater than or equal to 20, got 5"),
        ({"tasks": ["no_such_module:Env-v0"]}, "tasks.no_such_module:Env-v0: unknown task"),
        ({"tasks": ["counting_env:Unbuildable-v0"]}, "cannot build counting_env:Unbuildable-v0: OSError: the simulator's licence has expired"),
        ({"tasks": ["counting_env:Words-v0"]}, "action space: expected Discrete, MultiDiscrete, MultiBinary or Box, got Text"),
        ({"tasks": ["counting_env:OneWeight-v0"], "policy": "tabular", "optimizers": ["cma-es"]}, "cma-es: expected at least 2 parameters, got 1"),
        ({"tasks": ["FrozenLake-v1"], "policy": "tabular", "optimizers": ["whitened:ars"]}, "the policy needs a bias, got bias=False"),
        ({"tasks": 3}, "tasks: expected names, or a table of them, got 3"),
        ({"optimizers": ["bayesian"]}, "bayesian on lqr: needs bounds for every parameter"),
        ({"optimizers": ["bayesian"], "episodes_per_candidate": 2}, "bayesian on lqr: needs bounds for every parameter"),
        ({"optimizers": ["whitened:off-policy-reinforce"]}, "uses rollouts of earlier generations again"),
        ({"optimizers": ["whitened:off-policy-reinforce"], "episodes_per_candidate": 2}, "uses rollouts of earlier generations again"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_what_was_expected(
    changes: dict[str, Any], message: str
) -> None:
    assert message in refused(**changes)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 10**20), st.floats(), st.sampled_from(["", "ars", "lqr"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["sigma", "method", "x"]), inner, max_size=2)),
    max_leaves=3,
)  # fmt: skip


MUTATIONS = given(
    st.sampled_from([*Study.model_fields, "stray"]), st.sampled_from([None, "lqr", "random-search"]), JSON
)


def resolves_or_says_why(field: str, inner: str | None, value: Any) -> None:
    data: dict[str, Any] = copy.deepcopy(VALID)
    if inner is not None and isinstance(data.get(field), dict):
        data[field][inner] = value
    else:
        data[field] = value
    if field in ("rollouts", "runs", "seed", "curve_points", "episodes_per_candidate", "report_episodes"):
        data["tasks"] = ["lqr"]
    try:
        study = Study.resolve(data)
    except StudyError as error:
        assert error.problems
    else:
        assert Study.resolve(study.document()).document() == study.document()


@settings(max_examples=120, deadline=None)
@MUTATIONS
def test_no_malformed_study_gets_past_a_study_error(field: str, inner: str | None, value: Any) -> None:
    resolves_or_says_why(field, inner, value)


@pytest.mark.nightly
@settings(max_examples=500, deadline=None)
@MUTATIONS
def test_none_of_five_hundred_malformed_studies_gets_past(field: str, inner: str | None, value: Any) -> None:
    resolves_or_says_why(field, inner, value)


def test_a_task_is_any_gymnasium_id_and_gets_a_limit_on_its_steps() -> None:
    assert find_task("CartPole-v1").episode_steps() == 500
    assert find_task("counting_env:OneNumber-v0").episode_steps() == 1000
    study = Study.resolve(
        {**VALID, "tasks": {"counting_env:OneNumber-v0": {"max_episode_steps": 7}}, "policy": "linear"}
    )
    assert study.task("counting_env:OneNumber-v0").episode_steps() == 7


def test_policy_names_are_parsed_into_head_body_and_layers() -> None:
    assert parse_policy("mlp:32,8") == ("", "mlp", (32, 8))
    assert parse_policy("gaussian-linear")[:2] == ("gaussian", "linear")
    with pytest.raises(ValueError, match="expected hidden layers only for mlp"):
        parse_policy("mlp:3,x")


def test_an_environment_is_built_once_for_all_rows_of_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    original = Task.make_env

    def counted(self: Task) -> Any:
        built.append(self.env_id)
        return original(self)

    monkeypatch.setattr("policysearch.tasks.task._met", {})
    monkeypatch.setattr(Task, "make_env", counted)
    study = Study.resolve(
        {"tasks": ["lqr", "CartPole-v1"], "optimizers": ["random-search", "cma-es", "spsa"]}
    )
    for task in study.tasks:
        for label in study.optimizers:
            study.problem(task, label, run=1).evaluator.close()
    assert sorted(built) == ["CartPole-v1", "policysearch/LQR-v0"]
