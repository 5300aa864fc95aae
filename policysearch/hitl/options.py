"""What can be chosen of a session's plan.

Only light modules are imported here, so that `--help` answers at once.
"""

from dataclasses import field
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from policysearch.flags import described, flag, optional

Law = tuple[float, ...]
LSL = "lsl:"  # begins the name of a stream, in the place of a file or an objective


class OwnParameter(TypedDict):
    """A parameter of a protocol's own laws."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # type: ignore[misc]
    name: str
    unit: str
    lower: float
    upper: float
    start: NotRequired[float]


def _law(arguments: list[str]) -> Law:
    try:
        torque, peak, rise, fall = map(float, arguments[0].split(","))
    except ValueError:
        expected = "four numbers T,p,r,f (N·m/kg, % stride), as in 0.5,50,25,10"
        raise ValueError(f"expected {expected}, got {arguments[0]!r}") from None
    return torque, peak, rise, fall


FOUR_NUMBERS = optional(tuple, _law)


@described
@dataclass(frozen=True)
class PlanOptions:
    """Who walks, how long, under which laws, and which method chooses them."""

    participant: Annotated[str, flag("CODE")] = "1"
    """Code of the participant, not a name."""

    mass: Annotated[float, flag("KG")] = 70.0
    """Body mass (kg), for torques in N·m and for breath files with volumes."""

    standing_rate: Annotated[float, flag("RATE")] = 1.4
    """Metabolic rate standing still (W/kg), measured before."""

    optimizer: Annotated[str, flag("NAME")] = "cma-es"
    """The method that proposes the laws."""

    options: dict[str, Any] = field(default_factory=dict)
    """Its hyperparameters."""

    bouts: Annotated[int, flag("N")] = 32
    """Bouts of the search."""

    minutes: Annotated[float, flag("MIN")] = 2.0
    """Minutes of each of them."""

    shuffle: bool = True
    """Walk the laws of a generation in random order."""

    start: Annotated[Law | None, FOUR_NUMBERS, flag("T,p,r,f", "the centre of the ranges")] = None
    """Law with which the search begins: peak torque (N·m/kg); peak, rise and fall time (% stride)."""

    reference: Annotated[Law | None, FOUR_NUMBERS, flag("T,p,r,f", "a generic law")] = None
    """Law of warm-up, re-tests and validation."""

    parameters: list[OwnParameter] = field(default_factory=list)
    """The numbers of a law, each with name, unit, lower, upper, and perhaps start; none: the four of an ankle."""

    other_laws: dict[str, list[float]] = field(default_factory=dict)
    """Further laws by name, for the validation."""

    upper_torque: Annotated[float, flag("T")] = 1.0
    """Highest peak torque (N·m/kg)."""

    upper_newton_metres: Annotated[float, flag("NM")] = 0.0
    """Highest peak torque in N·m, whatever the mass; 0: none."""

    first_torque: Annotated[float, flag("T")] = 0.3
    """Highest peak torque (N·m/kg) of the first bout, where it rises over the first bouts."""

    familiarization: Annotated[int, flag("N")] = 0
    """Bouts with torque over which the highest torque rises; 0: it is in force from the first one."""

    objective: Annotated[str, flag("WHAT")] = "metabolic"
    """What the search improves: metabolic, for the rate in W/kg; heart rate, in bpm, of the breath file; typed,
    for a number of the operator's; or lsl:SOURCE_ID, for that of a stream of the Lab Streaming Layer."""

    measure: str = ""
    """What a typed number is, as in walking speed."""

    unit: str = ""
    """Its unit."""

    better: Annotated[str, flag("WHICH")] = "lower"
    """Whether lower or higher values of the objective are better."""

    standing: Annotated[float, flag("MIN")] = 0.0
    """Minutes of standing still, first of all on a day; what is measured takes the place of the standing rate."""

    warm_up: Annotated[float, flag("MIN")] = 0.0
    """Minutes under the reference law, next."""

    baseline: Annotated[float, flag("MIN")] = 6.0
    """Minutes without torque, next; with 0 the search compares rates, not reductions."""

    day_bouts: Annotated[int, flag("N")] = 0
    """Bouts of the search on a day; then it is over, and day begins the next one. 0: as many as there are."""

    rest: Annotated[float, flag("MIN")] = 0.0
    """Minutes of standing after every generation."""

    retest: Annotated[int, flag("G")] = 0
    """Walk the reference law again after every so many generations; 0: never."""

    validation: Annotated[float, flag("MIN")] = 6.0
    """Minutes of each of the six bouts of the validation; 0: none."""

    validation_rest: Annotated[float, flag("MIN")] = 0.0
    """Minutes of standing between the bouts of the validation."""

    validation_day: bool = False
    """Walk the validation on a day of its own."""

    validated: list[str] = field(default_factory=lambda: ["zero torque", "reference", "optimized"])
    """Conditions of the validation: these three, no device, and names of laws."""

    reversal: bool = True
    """Walk the validation in double reversal (ABCCBA), not once (ABC)."""

    order: Annotated[str, flag("ORDER")] = "random"
    """Order of the conditions of the validation: random; or balanced, a Williams design: participants whose codes end
    in consecutive numbers (six, for three conditions) walk every condition equally often after every other."""

    conditions: Annotated[str, flag("WORDS")] = "named"
    """How the conditions of the validation are shown: named; or letters, of which the key is in the log and is
    opened by unblind REASON."""

    averaged: Annotated[float, flag("MIN")] = 3.0
    """Last minutes of baseline and validation bouts, which are averaged."""

    tau: Annotated[float, flag("S")] = 42.0
    """Time constant of breathing (s), as the estimator takes it."""

    seed: Annotated[int, flag("S")] = 0
    """Seed of the search, of all orders, and of simulated people."""

    sources: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files from which the plan was made, by what they are."""
