"""``atari/<Game>``: the games of the Arcade Learning Environment (Bellemare et al. 2013) as colour frames.

Actions are the game's minimal set, rewards are as the game gives them, an episode ends with the game or after half an
hour of play. By Machado et al. 2018 (arXiv 1709.06009): sticky actions, and no end at the loss of a life.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from harness.config.sections import EnvConfig
from harness.errors import RunError, UserError
from harness.registry import TASK_VERSIONS
from harness.tasks.actions import Choices
from harness.tasks.atari_table import ACTION_REPEAT, GAMES, RAM, STICKY, TIME_LIMIT
from harness.tasks.frames import square_frame
from harness.tasks.spec import TaskSpec

REMEDY = "Install it beside wm: pip install 'world-models-study[atari]'."


class AtariGame:
    """The task ``atari/<Game>`` as configured; ale-py loads in `make`."""

    version = TASK_VERSIONS["atari"]

    def __init__(self, name: str, env: EnvConfig) -> None:
        if env.camera > 0:
            raise UserError(f"{name} has one camera: env.camera is {env.camera}")
        game = GAMES[name.removeprefix("atari/")]
        self.rom = game.rom
        self.sticky = STICKY if env.sticky is None else env.sticky
        self.spec = TaskSpec(
            name=name,
            action_dim=game.actions,
            discrete=True,
            image_shape=(3, env.image_size, env.image_size),
            action_repeat=env.action_repeat or ACTION_REPEAT,
            time_limit=env.time_limit or TIME_LIMIT,
            reward_range=None,
            terminates=True,
            simulates=True,
            state_dim=RAM,
        )

    def make(self) -> gymnasium.Env[Any, Any]:
        """A new environment.

        Raises:
            RunError: ale-py is missing, or has no such game.
        """
        return AtariEnv(self.spec, self.rom, self.sticky)


class AtariSnapshot(NamedTuple):
    """All that decides how an episode goes on.

    Attributes:
        emulator: ALE's state, with its random generator.
        generator: the state of the generator of sticky actions.
        held: the action that the console saw last.
        steps: simulator frames played.
        playing: whether the episode still goes on.
        screen: the last simulator frame where the next picture needs it (at action repeat 1), else None.
    """

    emulator: Any
    generator: Any
    held: int
    steps: int
    playing: bool
    screen: NDArray[np.uint8] | None


class AtariEnv(gymnasium.Env[NDArray[np.uint8], int]):
    """One console; use `AtariGame.make`.

    A frame is the pixelwise maximum of the last two simulator frames, since many games draw their objects in every
    second one only (Mnih et al. 2015), squeezed to a square. Sticky actions: at every simulator frame the console
    sees the action of the frame before once more, with probability `sticky`. They are drawn here and not by ALE,
    whose snapshots do not hold the action before.

    Args:
        spec: of the task.
        rom: the name of the game's file in ale-py.
        sticky: that probability.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, spec: TaskSpec, rom: str, sticky: float) -> None:
        self.task_spec = spec
        self.render_mode = "rgb_array"
        self.observation_space = spaces.Box(0, 255, spec.image_shape, np.uint8)
        self._choices = Choices(spec.action_dim)
        self.action_space = self._choices.space
        self._ale, self._path = _console(spec.name, rom)
        self._sticky = sticky
        self._actions: list[Any] = []
        self._held = 0
        self._steps = 0
        self._playing = False
        self._screen = np.zeros((1, 1, 3), np.uint8)  # the last simulator frame
        self._picture = self._screen  # the maximum of the last two

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Switches the console on; the same seed gives the same episode whatever was played before."""
        super().reset(seed=seed, options=options)
        self._ale.setInt("random_seed", int(self.np_random.integers(2**31)))
        self._ale.loadROM(self._path)
        self._ale.reset_game()
        self._actions = self._ale.getMinimalActionSet()
        self._held, self._steps, self._playing = 0, 0, True
        self._picture = self._screen = self._ale.getScreenRGB()
        return self.frame(), {"state": self.get_state()}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Holds an action for `action_repeat` simulator frames, fewer where the episode ends.

        Raises:
            ValueError: an action that is none, or no episode is running.
        """
        choice = self._choices(action)
        if not self._playing:
            raise ValueError("the episode is over: call reset first")
        before = self._screen if self.task_spec.action_repeat == 1 else None
        reward, screens = self._hold(choice, draw=True)
        self._screen = screens[-1]
        self._picture = np.maximum.reduce([*screens, *([] if before is None else [before])])
        terminated = bool(self._ale.game_over(with_truncation=False))
        truncated = not (terminated or self._playing)
        return self.frame(), reward, terminated, truncated, {"state": self.get_state()}

    def snapshot(self) -> AtariSnapshot:
        """See `harness.tasks.spec.Simulator`. It holds the draws of sticky actions to come.

        ALE's own snapshots are complete for all games but TicTacToe3D.
        """
        return AtariSnapshot(
            self._ale.cloneState(include_rng=True),
            self.np_random.bit_generator.state,
            self._held,
            self._steps,
            self._playing,
            self._screen if self.task_spec.action_repeat == 1 else None,
        )

    def restore(self, snapshot: AtariSnapshot) -> None:
        """See `harness.tasks.spec.Simulator`; it needs no reset before."""
        if not self._actions:
            self.reset(seed=0)
        self._ale.restoreState(snapshot.emulator)
        self.np_random.bit_generator.state = snapshot.generator
        self._held, self._steps, self._playing = snapshot.held, snapshot.steps, snapshot.playing
        if snapshot.screen is not None:
            self._screen = snapshot.screen

    def advance(self, action: int) -> tuple[float, bool]:
        """See `harness.tasks.spec.Simulator`; the same rewards as `step`."""
        reward = self._hold(self._choices(action), draw=False)[0] if self._playing else 0.0
        return reward, not self._playing

    def _hold(self, choice: int, *, draw: bool) -> tuple[float, list[NDArray[np.uint8]]]:
        """Plays an action: the sum of rewards, and the last two simulator frames or the one there is."""
        reward, screens = 0.0, []
        repeat = self.task_spec.action_repeat
        for index in range(repeat):
            if not self._sticky or self.np_random.random() >= self._sticky:
                self._held = choice
            reward += float(self._ale.act(self._actions[self._held]))
            self._steps += 1
            over = self._ale.game_over() or self._steps >= self.task_spec.time_limit
            if draw and (over or index >= repeat - 2):
                screens.append(self._ale.getScreenRGB())
            if over:
                self._playing = False
                break
        return reward, screens

    def get_state(self) -> NDArray[np.float64]:
        """The console's 128 bytes of memory."""
        memory: NDArray[np.float64] = self._ale.getRAM().astype(np.float64)
        return memory

    def frame(self) -> NDArray[np.uint8]:
        """The present picture, uint8 [3, h, w]."""
        return square_frame(self._picture, self.task_spec.image_shape[1])

    def render(self) -> NDArray[np.uint8]:
        """The present picture as Gymnasium wants it, uint8 [h, w, 3]."""
        return np.ascontiguousarray(self.frame().transpose(1, 2, 0))


def _console(name: str, rom: str) -> tuple[Any, Any]:
    """A console without a game in it, and where the game is."""
    try:
        import ale_py
        from ale_py import roms
    except ImportError as error:
        raise RunError("code", f"{name} needs ale-py, which cannot be imported ({error}).", REMEDY) from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    path = roms.get_rom_path(rom) if rom in roms.get_all_rom_ids() else None
    if path is None:
        raise RunError("code", f"ale-py {ale_py.__version__} has no game {rom} ({name}).", REMEDY)
    console = ale_py.ALEInterface()
    console.setFloat("repeat_action_probability", 0.0)
    return console, path
