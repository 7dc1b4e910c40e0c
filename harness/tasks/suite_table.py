"""What every dm_control suite task is, written down so that a study can be planned without the simulator.

Compared with dm_control itself by a test. Action repeats: PlaNet's for cartpole 8, cheetah 4, ball_in_cup 6,
finger 2 and walker 2; 4 for reacher (nobody checked that one); 2 for every other task.
"""

from __future__ import annotations

from dataclasses import dataclass

TIME_LIMIT = 1000
"""Simulator steps per episode: control steps as dm_control counts them. LQR, which has none, gets it too."""

_FIELD_SIZES = {"geom_pos": 3, "site_pos": 3, "body_pos": 3, "light_pos": 3, "body_quat": 4, "wrap_prm": 4}


@dataclass(frozen=True)
class SuiteTask:
    """One task of the suite.

    Attributes:
        action_dim: A.
        physics_dim: length of MuJoCo's state vector (qpos, qvel, act).
        cameras: fixed cameras of the model.
        action_repeat: simulator steps per action unless configured.
        bounded_reward: whether the reward of a simulator step is in [0, 1].
        terminates: whether an episode can end for good.
        restores_state: whether a frame can be rendered again from the state.
        extra: model fields that a reset draws anew, ``field:object`` (the whole field where the object is
            empty). They are appended to the state: without them a frame could not be rendered again.
    """

    action_dim: int
    physics_dim: int
    cameras: int = 2
    action_repeat: int = 2
    bounded_reward: bool = True
    terminates: bool = False
    restores_state: bool = True
    extra: tuple[str, ...] = ()

    @property
    def state_dim(self) -> int:
        """Length of the simulator state with the model fields of `extra`."""
        return self.physics_dim + sum(_FIELD_SIZES[field.partition(":")[0]] for field in self.extra)


# quadruped-escape draws a height field of 40,000 numbers at every reset: too large to keep with every state.
SUITE: dict[str, SuiteTask] = {
    "acrobot-swingup": SuiteTask(1, 4),
    "acrobot-swingup_sparse": SuiteTask(1, 4),
    "ball_in_cup-catch": SuiteTask(2, 8, action_repeat=6),
    "cartpole-balance": SuiteTask(1, 4, action_repeat=8),
    "cartpole-balance_sparse": SuiteTask(1, 4, action_repeat=8),
    "cartpole-swingup": SuiteTask(1, 4, action_repeat=8),
    "cartpole-swingup_sparse": SuiteTask(1, 4, action_repeat=8),
    "cartpole-two_poles": SuiteTask(1, 6, action_repeat=8),
    "cartpole-three_poles": SuiteTask(1, 8, action_repeat=8),
    "cheetah-run": SuiteTask(6, 18, action_repeat=4),
    "dog-stand": SuiteTask(38, 197),
    "dog-walk": SuiteTask(38, 197),
    "dog-trot": SuiteTask(38, 197),
    "dog-run": SuiteTask(38, 197),
    "dog-fetch": SuiteTask(38, 210, cameras=4),
    "finger-spin": SuiteTask(2, 6),
    "finger-turn_easy": SuiteTask(2, 6, extra=("site_pos:target",)),
    "finger-turn_hard": SuiteTask(2, 6, extra=("site_pos:target",)),
    "fish-upright": SuiteTask(5, 27, cameras=5),
    "fish-swim": SuiteTask(5, 27, cameras=5, extra=("geom_pos:target",)),
    "hopper-stand": SuiteTask(4, 14),
    "hopper-hop": SuiteTask(4, 14),
    "humanoid-stand": SuiteTask(21, 55, cameras=3),
    "humanoid-walk": SuiteTask(21, 55, cameras=3),
    "humanoid-run": SuiteTask(21, 55, cameras=3),
    "humanoid-run_pure_state": SuiteTask(21, 55, cameras=3),
    "humanoid_CMU-stand": SuiteTask(56, 125, cameras=3),
    "humanoid_CMU-walk": SuiteTask(56, 125, cameras=3),
    "humanoid_CMU-run": SuiteTask(56, 125, cameras=3),
    "lqr-lqr_2_1": SuiteTask(1, 4, bounded_reward=False, terminates=True),
    "lqr-lqr_6_2": SuiteTask(2, 12, bounded_reward=False, terminates=True),
    "manipulator-bring_ball": SuiteTask(
        5,
        22,
        extra=(
            "body_pos:target_ball",
            "body_quat:target_ball",
        ),
    ),
    "manipulator-bring_peg": SuiteTask(
        5,
        22,
        extra=(
            "body_pos:target_peg",
            "body_quat:target_peg",
        ),
    ),
    "manipulator-insert_ball": SuiteTask(
        5,
        22,
        extra=(
            "body_pos:target_ball",
            "body_quat:target_ball",
            "body_pos:cup",
            "body_quat:cup",
        ),
    ),
    "manipulator-insert_peg": SuiteTask(
        5,
        22,
        extra=(
            "body_pos:target_peg",
            "body_quat:target_peg",
            "body_pos:slot",
            "body_quat:slot",
        ),
    ),
    "pendulum-swingup": SuiteTask(1, 2),
    "point_mass-easy": SuiteTask(2, 4),
    "point_mass-hard": SuiteTask(2, 4, extra=("wrap_prm:",)),
    "quadruped-walk": SuiteTask(12, 57, cameras=4),
    "quadruped-run": SuiteTask(12, 57, cameras=4),
    "quadruped-escape": SuiteTask(12, 57, cameras=4, restores_state=False),
    "quadruped-fetch": SuiteTask(12, 70, cameras=4),
    "reacher-easy": SuiteTask(2, 4, action_repeat=4, extra=("geom_pos:target",)),
    "reacher-hard": SuiteTask(2, 4, action_repeat=4, extra=("geom_pos:target",)),
    "stacker-stack_2": SuiteTask(5, 28, extra=("body_pos:target",)),
    "stacker-stack_4": SuiteTask(5, 40, extra=("body_pos:target",)),
    "swimmer-swimmer6": SuiteTask(
        5,
        16,
        cameras=3,
        extra=(
            "geom_pos:target",
            "light_pos:target_light",
        ),
    ),
    "swimmer-swimmer15": SuiteTask(
        14,
        34,
        cameras=3,
        extra=(
            "geom_pos:target",
            "light_pos:target_light",
        ),
    ),
    "walker-stand": SuiteTask(6, 18),
    "walker-walk": SuiteTask(6, 18),
    "walker-run": SuiteTask(6, 18),
}
"""By ``<domain>-<task>``."""
