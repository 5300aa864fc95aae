"""The tasks of the engine; a new one is one line at the end."""

from policysearch.tasks.names import declare_task

#: Returns that the models of `policysearch.simulators` give in closed form; a test computes them. They are numbers
#: here because importing the models takes a while.
LQR_OPTIMUM, LQR_UNTOUCHED = -0.24128559399218225, -3.545885218156587
BANDIT_OPTIMUM, BANDIT_AT_RANDOM = 1.3, 0.08400000000000002
CHAIN_OPTIMUM, CHAIN_AT_RANDOM = 20.0, 10.0
#: Of the gridworld: seeing the cell; the best memoryless policy, and the best of those that is deterministic; uniform
#: actions.
GRID_SEEING, GRID_BEST, GRID_DETERMINISTIC = 0.8899999999999999, 0.8090234374999999, 0.13999999999999985
GRID_AT_RANDOM = -0.6175465213407736
#: Of a policy that remembers the cell before: steps to the treasure from each cell at 0.05 each.
GRID_REMEMBERED = 1 - 0.05 * sum((3, 2, 1, 4, 3)) / 5
#: Of one move all the time, and of the uniform strategy.
ROCK, UNIFORM = -19.0, 0.0


def _tabular_tasks() -> None:
    """Finite problems; one step more than their horizon, so that it is the problem that ends an episode."""
    seeing = {"optimum, seeing the cell": GRID_SEEING}
    # fmt: off
    declare_task(
        "bandit", "policysearch/Bandit-v0", policy="tabular", max_episode_steps=2,
        references={"optimum": BANDIT_OPTIMUM}, normalise=(BANDIT_AT_RANDOM, BANDIT_OPTIMUM),
    )
    declare_task(
        "chain", "policysearch/Chain-v0", policy="tabular", max_episode_steps=21,
        references={"optimum": CHAIN_OPTIMUM}, normalise=(CHAIN_AT_RANDOM, CHAIN_OPTIMUM),
    )
    declare_task(
        "aliased-gridworld", "policysearch/AliasedGridworld-v0", policy="tabular", deploy="sample",
        max_episode_steps=21,
        references=seeing | {
            "best memoryless": GRID_BEST, "best deterministic memoryless": GRID_DETERMINISTIC
        },
        normalise=(GRID_AT_RANDOM, GRID_BEST),
    )
    declare_task(
        "aliased-gridworld-history", "policysearch/AliasedGridworldHistory-v0", max_episode_steps=21,
        references=seeing | {"best with memory": GRID_REMEMBERED},
        normalise=(GRID_AT_RANDOM, GRID_REMEMBERED),
    )
    declare_task(
        "rock-paper-scissors", "policysearch/RockPaperScissors-v0", policy="tabular", deploy="sample",
        start=(1.5, 0.0, 0.0),  # mostly rock: zero would be the optimum already
        max_episode_steps=21,
        references={"optimum (uniform)": UNIFORM, "deterministic": ROCK},
        normalise=(ROCK, UNIFORM),  # actions at random are the optimum here
    )
    # fmt: on


#: Task, environment, policy, and returns of its start, of Ziegler & Nichols' rules and the best that is known;
#: experiments/controllers/best_known.py computes them.
_TUNED = (
    ("motor-pid", "policysearch/Motor-v0", "motor-pid", -8.68365, -1.6909, -0.334633),
    ("thermal-pid", "policysearch/Thermal-v0", "thermal-pid", -79.1413, -20.1132, -11.7419),
    ("tanks-pid", "policysearch/Tanks-v0", "tanks-pid", -3224.25, -1443.76, -1430.86),
    ("quadrotor-cascade", "policysearch/Quadrotor-v0", "cascaded-pid", -9.81182, None, -1.16937),
    ("cart-pole-lqr", "policysearch/CartPoleForce-v0", "cart-pole-lqr", -7.0153, None, -4.25596),
    ("pendulum-swing-up", "Pendulum-v1", "energy-swing-up", -397.407, None, -150.29),
    ("swimmer-cpg", "Swimmer-v5", "pattern-generator", 61.9462, None, 359.535),
)  # fmt: skip
#: Of `cart_pole_force.linear_problem`.
_LINEAR_POLE = {"optimum of the linear plant (Riccati)": -4.11123}


def _controller_tasks() -> None:
    """Controllers to be tuned; 0 is what they start with."""
    for name, env_id, policy, start, rule, best in _TUNED:
        rules = {} if rule is None else {"Ziegler & Nichols 1942": rule}
        linear = _LINEAR_POLE if name == "cart-pole-lqr" else {}
        references = rules | linear | {"best known": best}
        declare_task(name, env_id, policy, references=references, normalise=(start, best))


# `normalise` is the return of uniformly random actions, and the one that Gymnasium's registry calls solved;
# experiments/classic_control/references.py computes both.
declare_task("CartPole-v1", "CartPole-v1", references={"maximum": 500.0}, normalise=(22.3, 475.0))
declare_task("Acrobot-v1", "Acrobot-v1", normalise=(-498.9, -100.0))
declare_task("MountainCar-v0", "MountainCar-v0", normalise=(-200.0, -110.0))
declare_task("MountainCarContinuous-v0", "MountainCarContinuous-v0", normalise=(-32.9, 90.0))
# A linear policy stays near −900 whatever the method: swinging up and balancing need different gains.
# 1 is a controller that pumps energy and balances: Gymnasium declares no threshold.
declare_task("Pendulum-v1", "Pendulum-v1", policy="mlp:16", normalise=(-1235.0, -150.7))
declare_task(
    "lqr",
    "policysearch/LQR-v0",
    references={"optimum (Riccati)": LQR_OPTIMUM},
    normalise=(LQR_UNTOUCHED, LQR_OPTIMUM),
)
_tabular_tasks()
_controller_tasks()
declare_task("Swimmer-v5", "Swimmer-v5", normalise=(0.15, 360.0))
declare_task("Hopper-v5", "Hopper-v5", normalise=(14.5, 3800.0))
declare_task("HalfCheetah-v5", "HalfCheetah-v5", normalise=(-288.5, 4800.0))
declare_task("Ant-v5", "Ant-v5", normalise=(-51.1, 6000.0))
