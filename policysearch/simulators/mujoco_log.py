"""Where MuJoCo's warnings go: to Python's logging, instead of a file MUJOCO_LOG.TXT in the working folder."""

import logging

logger = logging.getLogger("policysearch.mujoco")


def divert_warnings() -> None:
    """Send warnings to the logger `policysearch.mujoco`, at level INFO, unless a handler is there already.

    Nothing is lost by the level: a warning of the physics fails its rollout where rollouts are compiled.
    """
    import mujoco  # noqa: PLC0415 - the extra mujoco

    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(logger.info)
