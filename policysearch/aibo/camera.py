"""Pictures of the AIBO without a screen: MuJoCo's own renderer through EGL or OSMesa."""

import atexit
import importlib
import os
import subprocess
import sys
from functools import lru_cache
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from policysearch.core import Array


class Camera:
    """Pictures of a robot, which takes the poses that it is shown; its model is changed.

    `mujoco.Renderer` would draw by what MUJOCO_GL named when `mujoco` was imported: too early to choose.
    """

    WIDTH, HEIGHT = 480, 270
    AIM, DISTANCE, VIEW = 0.075, 1.3, 13.0  # m above the floor; m; degrees from top to bottom
    AZIMUTH, ELEVATION = 90.0, -12.0  # degrees: to the left, and down until no horizon is left
    SUN = (0.14, 0.24, -0.96)  # where the light goes
    SHADE = 0.55  # of the colours of the left legs, which are the far ones

    def __init__(self, model: Any) -> None:
        self._model = model
        self._furnish()
        self._data, self._scene = mujoco.MjData(self._model), mujoco.MjvScene(self._model, maxgeom=200)
        self._eye, self._everything = mujoco.MjvCamera(), mujoco.MjvOption()
        self._eye.distance = self.DISTANCE
        self._eye.azimuth, self._eye.elevation = self.AZIMUTH, self.ELEVATION
        self._frame = mujoco.MjrRect(0, 0, self.WIDTH, self.HEIGHT)
        backend = _backend()
        try:
            self._gl = importlib.import_module(f"mujoco.{backend}").GLContext(self.WIDTH, self.HEIGHT)
            self._gl.make_current()
            self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        except Exception as error:  # its libraries raise what they like
            raise _cannot_draw(f"{backend}: {type(error).__name__}: {error}") from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        atexit.register(self.close)  # before the libraries' own end, of which contexts that are left complain

    def _furnish(self) -> None:
        """A light that goes with the robot, so that its shadow is fine, and the far legs darker."""
        model, sun = self._model, np.array(self.SUN)
        model.light_mode[:] = mujoco.mjtCamLight.mjCAMLIGHT_TRACK
        model.light_bodyid[:] = model.body("torso").id
        model.light_pos0[:], model.light_dir0[:] = -sun, sun
        model.vis.map.shadowclip, model.vis.quality.shadowsize = 3.0, 1024
        model.vis.global_.fovy = self.VIEW
        for geom, body in enumerate(model.geom_bodyid):
            if "left" in model.body(body).name:
                model.geom_rgba[geom, :3] *= self.SHADE

    def picture(self, qpos: Float[Array, "q"]) -> Any:
        """The robot in this pose, in the middle."""
        self._data.qpos[:] = qpos
        mujoco.mj_forward(self._model, self._data)
        self._eye.lookat[:] = qpos[0], qpos[1], self.AIM
        what = (self._model, self._data, self._everything, None)
        mujoco.mjv_updateScene(*what, self._eye, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene)
        self._gl.make_current()  # another camera may have drawn last
        mujoco.mjr_render(self._frame, self._scene, self._context)
        colours = np.empty((self.HEIGHT, self.WIDTH, 3), np.uint8)
        mujoco.mjr_readPixels(colours, None, self._frame, self._context)
        return colours[::-1].copy()  # OpenGL's first line is the lowest

    def close(self) -> None:
        """Release the renderer."""
        atexit.unregister(self.close)
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def _backend() -> str:
    """The module of `mujoco` to draw with: by MUJOCO_GL, else for the screen; without one, EGL or OSMesa."""
    named = os.environ.get("MUJOCO_GL", "").lower().strip()
    if named in ("egl", "osmesa"):
        return named
    screen = not sys.platform.startswith("linux") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if named or screen:
        return "cgl" if sys.platform == "darwin" and named != "glfw" else "glfw"
    failures = {}
    for name in ("egl", "osmesa"):
        failures[name] = _failure(name)
        if not failures[name]:
            return name
    raise _cannot_draw("; ".join(f"{name}: {reason}" for name, reason in failures.items()))


@lru_cache
def _failure(backend: str) -> str:
    """Why this cannot draw, or nothing; tried in another process, as a failure would spoil the next trial here."""
    trial = f"from mujoco.{backend} import GLContext; GLContext(8, 8).make_current()"
    done = subprocess.run([sys.executable, "-P", "-c", trial], capture_output=True, text=True, check=False)  # noqa: S603
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["crashed"])[-1]


def _cannot_draw(why: str) -> RuntimeError:
    return RuntimeError(
        f"the robot cannot be drawn ({why}); without a screen this needs EGL or OSMesa, "
        "on Debian `apt-get install libegl1 libgl1-mesa-dri` or `apt-get install libosmesa6`"
    )
