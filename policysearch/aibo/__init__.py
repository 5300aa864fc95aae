"""The gait learning of Kohl & Stone (2004): the Sony AIBO ERS-210 in simulation, its gait and its tasks.

Importing this package registers its environments with Gymnasium: a walk in MuJoCo with the noise of a real floor,
half and twice of it, and a reduced model without MuJoCo.
"""

from typing import TYPE_CHECKING, Any

import gymnasium as gym

if TYPE_CHECKING:
    from policysearch.tasks import Task

#: mm/s, reported of the real robot: Kohl & Stone 2004, and hand-tuned gaits of 2003 as recalled, not verified.
KOHL_STONE, UNSW, AUSTIN_VILLA, CMU = 291.0, 254.0, 245.0, 200.0
#: Steps of an episode: `traversal.FRAMES`, whose import takes a while.
FRAMES = 563
#: The environment behind each task, by the end of their names.
SIMULATIONS = {"": "", "-half-noise": "HalfNoise", "-twice-noise": "TwiceNoise", "-reduced": "Reduced"}

for _id, _noise in (("Aibo-v0", 1.0), ("AiboHalfNoise-v0", 0.5), ("AiboTwiceNoise-v0", 2.0)):
    gym.register(
        f"policysearch/{_id}",
        entry_point="policysearch.aibo.robot:AiboEnv",
        kwargs={"noise": _noise},
        max_episode_steps=FRAMES,
    )
gym.register(
    "policysearch/AiboReduced-v0",
    entry_point="policysearch.aibo.reduced:AiboReducedEnv",
    max_episode_steps=FRAMES,
)


def task(name: str) -> "Task":
    """The task of that name: every candidate has episodes of its own, as on a real robot."""
    from policysearch.tasks import Task  # noqa: PLC0415 - when it is needed

    env = SIMULATIONS[name.removeprefix("aibo-gait")]
    return Task(
        name,
        f"policysearch/Aibo{env}-v0",
        policy="half-ellipse-gait",
        unit="mm/s",
        references={"Kohl & Stone 2004, real robot": KOHL_STONE} if env != "Reduced" else {},
        common_random_numbers=False,
    )


def gait_for(interface: Any) -> Any:
    """The gait for an environment (`Interface`)."""
    from policysearch.aibo.half_ellipse_gait import HalfEllipseGait  # noqa: PLC0415 - imports Numba

    return HalfEllipseGait.of(interface)
