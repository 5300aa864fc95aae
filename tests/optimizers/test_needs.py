"""What methods need is known through every wrapper."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import pytest
from problems import WALKER

import policysearch.optimizers
from policysearch.core import Domain, Needs, Optimizer, Search, needs_of, tunable_of
from policysearch.optimizers import (
    CMAES,
    OPTIMIZERS,
    Genetic,
    HillClimbing,
    RandomSearch,
    Repeated,
    Trusted,
    Whitened,
    revision_of,
)

WRAPPERS: dict[type[Optimizer], Callable[[Optimizer], Optimizer]] = {
    Repeated: lambda inner: Repeated(inner, 2),
    Trusted: lambda inner: Trusted(inner, 0.5),
    Whitened: lambda inner: Whitened(inner, WALKER),
}
#: Up to three wrappers, the innermost first.
CHAINS = [chain for length in (1, 2, 3) for chain in itertools.product(WRAPPERS, repeat=length)]


@dataclass(frozen=True)
class Bare:
    """A method that declares nothing."""

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        return RandomSearch().search(domain, rng)


@dataclass(frozen=True)
class Demanding(Bare):
    """A method that needs whatever can be needed beside whitening."""

    needs: ClassVar[Needs] = Needs(scores=True, bounds=True, extra="bo", modules=("optuna", "torch"))


@dataclass(frozen=True)
class Keeping(Bare):
    needs: ClassVar[Needs] = Needs(bounds=True, kept_rollouts=True)


METHODS: dict[str, type[Any]] = {**OPTIMIZERS, "bare": Bare, "demanding": Demanding, "keeping": Keeping}


def wrapped(method: Optimizer, chain: Sequence[type[Optimizer]]) -> Optimizer:
    for wrapper in chain:
        method = WRAPPERS[wrapper](method)
    return method


def test_every_wrapper_of_the_package_is_among_those_tested_here() -> None:
    classes = [getattr(policysearch.optimizers, name) for name in policysearch.optimizers.__all__]
    found = {
        cls
        for cls in classes
        if isinstance(cls, type) and "optimizer" in {f.name for f in fields(cls)}  # type: ignore[arg-type]
    }
    assert found == set(WRAPPERS)


@pytest.mark.parametrize("name", METHODS)
def test_no_wrapper_and_no_wrapper_of_wrappers_loses_a_need_of_its_method(name: str) -> None:
    needs = needs_of(METHODS[name])
    for chain in CHAINS:
        if needs.kept_rollouts and Whitened in chain:
            with pytest.raises(ValueError, match="the method uses rollouts of earlier generations again"):
                wrapped(METHODS[name](), chain)
        else:
            assert needs_of(wrapped(METHODS[name](), chain)) == needs, chain


def test_the_methods_of_the_registry_need_what_their_source_uses() -> None:
    needs = {name: needs_of(cls) for name, cls in OPTIMIZERS.items() if needs_of(cls) != Needs()}
    scores = Needs(scores=True)
    assert needs == {
        "auto": Needs(uses_known=True),
        "quadratic-model": Needs(uses_known=True),
        "cma-es": Needs(uses_known=True),
        "sep-cma-es": Needs(uses_known=True),
        "lra-cma-es": Needs(extra="cmaes", modules=("cmaes",)),
        "cross-entropy": Needs(uses_known=True),
        "reinforce": scores,
        "off-policy-reinforce": Needs(scores=True, kept_rollouts=True),
        "natural-gradient": scores,
        "trpo": scores,
        "ppo": scores,
        "bayesian": Needs(bounds=True, uses_known=True, extra="bo", modules=("optuna", "torch")),
    }


def test_a_method_that_declares_nothing_needs_nothing_and_has_nothing_to_tune() -> None:
    assert needs_of(Bare()) == needs_of(Bare) == Needs()
    assert not tunable_of(Bare)


def test_needs_of_another_type_are_refused_with_what_is_expected() -> None:
    @dataclass(frozen=True)
    class Mistaken(Bare):
        needs: ClassVar[str] = "scores"

    with pytest.raises(TypeError, match=r"needs: expected Needs\(...\), got 'scores', of "):
        needs_of(Trusted(Mistaken()))


def test_the_revision_of_a_method_is_the_inner_ones() -> None:
    assert revision_of(Genetic()) == 1
    assert [revision_of(HillClimbing(adapt=adapt)) for adapt in (False, True)] == [1, 2]
    assert revision_of(Repeated(Trusted(CMAES(), 0.5), 3)) == revision_of(CMAES()) == 2
