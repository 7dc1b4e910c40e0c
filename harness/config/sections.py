"""The sections of a run's configuration below the design axes."""

from __future__ import annotations

from typing import Any, Literal

from harness.config.fields import Category, Section, other, semantic


class EnvConfig(Section):
    """What the agent sees of a task and how it acts on it."""

    image_size: int = semantic(64, neutral=64, doc="side of the square frames in pixels", ge=8, le=512)
    action_repeat: int | None = semantic(
        None, neutral=None, doc="simulator steps per action, rewards summed; null: the task's own", ge=1
    )
    time_limit: int | None = semantic(
        None, neutral=None, doc="simulator steps per episode; null: the task's own (1000 in dm_control)", ge=1
    )
    camera: int = semantic(0, neutral=0, doc="camera of the simulator model", ge=-1)
    shadow_size: int = semantic(
        256, neutral=256, doc="side of MuJoCo's shadow map; the models ship 2048, which looks the same", ge=0
    )
    antialiasing: int = semantic(4, neutral=4, doc="samples per pixel of MuJoCo's renderer", ge=0, le=16)
    sticky: float | None = semantic(
        None,
        neutral=None,
        doc="Atari: probability that the console repeats the action before; null: the task's own (0.25)",
        ge=0,
        lt=1,
    )


class ModelConfig(Section):
    """Loss weights and capacity of a world model, beyond its design axes."""

    name: str = semantic(
        "auto", neutral="auto", doc="auto: the built-in model of the design axes; else package.module:Name"
    )
    options: dict[str, Any] = semantic({}, neutral={}, doc="configuration of a model of your own")
    widths: dict[str, int] = semantic(
        {}, neutral={}, doc="layer widths that replace those of the size preset"
    )
    variant: Literal["standard", "window", "feedforward", "actions"] = semantic(
        "standard",
        neutral="standard",
        doc="standard; window: the belief of a latent design filters the last model.context columns only; "
        "feedforward, actions: other forms of rewards-pixel-deterministic",
    )
    context: int = semantic(
        2, neutral=2, doc="columns of frames that a pixel design or a windowed belief sees", ge=1, le=32
    )
    image_scale: float = semantic(
        1.0,
        neutral=1.0,
        doc="weight of half the squared image error summed over pixels and channels in [0, 1]",
        ge=0,
    )
    reward_scale: float = semantic(10.0, neutral=10.0, doc="weight of half the squared reward error", ge=0)
    kl_scale: float = semantic(1.0, neutral=1.0, doc="weight of the KL of posterior and prior", ge=0)
    free_nats: float = semantic(
        3.0,
        neutral=3.0,
        doc="KL of a column below this many nats costs nothing; of the stochastic latent designs",
        ge=0,
    )
    open_loop_weight: float = semantic(
        1.0,
        neutral=1.0,
        doc="weight of the open-loop term of the latent designs and of rewards-pixel-stochastic; 0 is the published "
        "loss",
        ge=0,
    )
    open_loop_futures: int = semantic(
        1,
        neutral=1,
        doc="independent forecasts of each clip in the open-loop term of stochastic latent designs; 1: each future is "
        "scored; 2 or more: their mean is, so that futures may differ (plan with more particles)",
        ge=1,
        le=16,
    )
    scheduled_sampling: float = semantic(
        0.1,
        neutral=0.1,
        doc="part of the planned updates over which the input frames of images-pixel go from true to forecast ones",
        ge=0,
        le=1,
    )
    dropout: float = semantic(
        0.0,
        neutral=0.2,
        doc="part of the units that training drops in the heads of the reward predictors on pixels",
        ge=0,
        lt=1,
    )


class PlannerConfig(Section):
    """The planner and its budget; one budget for all designs of a comparison. `wm list planners` says which planner
    uses which of the fields below `proposals`; the others mean nothing to it and are left out of the id.
    """

    name: str = semantic("cem", neutral="cem", doc="cem, icem, mppi, shooting, or package.module:Name")
    options: dict[str, Any] = semantic({}, neutral={}, doc="configuration of a planner of your own")
    horizon: int = semantic(12, neutral=12, doc="steps planned ahead", ge=1, le=1000)
    iterations: int = semantic(10, neutral=10, doc="refits of the proposal distribution", ge=1)
    proposals: int = semantic(1000, neutral=1000, doc="candidate action sequences per iteration", ge=1)
    elite_fraction: float = semantic(
        0.1, neutral=0.1, doc="part of the proposals that is refitted to", gt=0, le=1
    )
    elites: int | None = semantic(
        None, neutral=None, doc="number of elites; null: elite_fraction of the proposals", ge=1
    )
    covariance: Literal["diagonal", "full"] = semantic(
        "diagonal",
        neutral="diagonal",
        doc="of the proposals of a step: independent action dimensions, or correlated ones",
    )
    refit: Literal["equal", "weighted"] = semantic(
        "equal", neutral="equal", doc="elites count equally, or by a softmax of their standardised returns"
    )
    action: Literal["mean", "best"] = semantic(
        "mean", neutral="mean", doc="act by the mean of the last elites, or by the best sampled plan"
    )
    warm_start: bool = semantic(
        False, neutral=False, doc="start from the plan of the step before, shifted by one step"
    )
    initial_std: float = semantic(
        1.0, neutral=1.0, doc="standard deviation of the first proposals, in half action ranges", gt=0
    )
    std_floor: float = semantic(
        0.0, neutral=0.0, doc="lower bound of the proposals' standard deviation", ge=0
    )
    noise_exponent: float = semantic(
        2.0, neutral=2.0, doc="icem: beta of the proposals' power spectrum 1 / f^beta over the horizon", ge=0
    )
    shrink: float = semantic(
        1.25,
        neutral=1.25,
        doc="icem: each iteration has so many times fewer proposals than the one before",
        ge=1,
    )
    kept_elites: float = semantic(
        0.3,
        neutral=0.3,
        doc="icem: part of the elites that is kept for the next iteration and step",
        ge=0,
        le=1,
    )
    reward_weight: float = semantic(
        0.1, neutral=0.1, doc="mppi: gamma; a plan counts with exp(gamma x return)", ge=0
    )
    smoothing: float = semantic(
        0.6,
        neutral=0.6,
        doc="mppi: beta; noise is beta x fresh noise + (1 - beta) x that of the step before",
        gt=0,
        le=1,
    )
    particles: int = semantic(1, neutral=1, doc="futures averaged per candidate of a stochastic model", ge=1)
    objective: str = semantic(
        "reward",
        neutral="reward",
        doc="reward (discounted sum), undiscounted, random (all plans are worth the same), or package.module:Name",
    )
    discount: float = semantic(
        1.0, neutral=1.0, doc="discount of the planning objective per step", gt=0, le=1
    )


class OracleConfig(PlannerConfig):
    """The planner of `agent: oracle` on the true simulator; its own budget, since a simulator is slow."""

    iterations: int = semantic(3, neutral=3, doc="refits of the proposal distribution", ge=1)
    proposals: int = semantic(64, neutral=64, doc="candidate action sequences per iteration", ge=1)
    warm_start: bool = semantic(
        True, neutral=True, doc="start from the plan of the step before, shifted by one step"
    )
    std_floor: float = semantic(
        0.1, neutral=0.1, doc="lower bound of the proposals' standard deviation", ge=0
    )
    action: Literal["mean", "best"] = semantic(
        "best", neutral="best", doc="act by the mean of the last elites, or by the best sampled plan"
    )


class ExplorationConfig(Section):
    """What is added to the planner's actions while collecting."""

    cold_start: int = semantic(5, neutral=5, doc="episodes of uniformly random actions at the start", ge=1)
    noise: float = semantic(
        0.3,
        neutral=0.3,
        doc="standard deviation of Gaussian action noise, in half action ranges; of continuous actions",
        ge=0,
    )
    noise_exponent: float = semantic(
        0.0, neutral=0.0, doc="colour of that noise: 0 is white, 1 pink, 2 red", ge=0
    )
    epsilon: float | None = semantic(
        None,
        neutral=None,
        doc="probability of a uniformly random action at each step; null: 0.2 where actions are discrete, else 0",
        ge=0,
        le=1,
    )


class DataConfig(Section):
    """What a run trains on: what it collects itself, or a fixed dataset."""

    mode: Literal["online", "offline"] = semantic(
        "online",
        neutral="online",
        doc="online: collect and train in turn; offline: train on data.dataset alone, train.episodes x "
        "train.updates_per_episode gradient steps",
    )
    dataset: str | None = semantic(
        None, neutral=None, doc="name under RUNS/datasets, or a path; `wm dataset build` makes one"
    )
    digest: str | None = semantic(
        None,
        neutral=None,
        doc="digest of the dataset; written by wm when the run is planned, so that other data is another run",
    )


class TrainConfig(Section):
    """How much is collected and trained, and with which optimiser."""

    episodes: int = semantic(
        1000, neutral=1000, doc="episodes collected, cold start included; one an iteration", ge=1
    )
    updates_per_episode: int = semantic(100, neutral=100, doc="gradient steps an iteration", ge=0)
    batch: int = semantic(50, neutral=50, doc="clips per gradient step", ge=1)
    forecast: int = semantic(
        12, neutral=12, doc="columns of a training clip beyond model.context", ge=1, le=1000
    )
    learning_rate: float = semantic(1e-3, neutral=1e-3, doc="Adam's step size", gt=0)
    adam_epsilon: float = semantic(
        1e-8,
        neutral=1e-4,
        doc="Adam's epsilon; a large one slows down the designs without images, whose gradients are small",
        gt=0,
    )
    clip_norm: float = semantic(1000.0, neutral=1000.0, doc="bound of the gradient's global norm", gt=0)
    precision: Literal["float32", "bfloat16"] = semantic(
        "float32", neutral="float32", doc="arithmetic of the networks; parameters are always float32"
    )


class EvaluationConfig(Section):
    """What is measured, when, and on how much data."""

    every: int = semantic(10, neutral=10, doc="iterations between evaluations", ge=1)
    episodes: int = semantic(1, neutral=1, doc="noise-free episodes per evaluation", ge=1)
    final_episodes: int = semantic(20, neutral=20, doc="noise-free episodes of the final phase", ge=1)
    horizon: int = semantic(12, neutral=12, doc="open-loop steps that are scored", ge=1, le=1000)
    context: int = semantic(
        5, neutral=5, doc="columns before the earliest scored start; at least every design's context", ge=1
    )
    starts: int = semantic(64, neutral=64, doc="open-loop starts that are scored per dataset", ge=1)
    samples: int = semantic(16, neutral=16, doc="futures per start of a stochastic model", ge=1)
    probe_episodes: int = semantic(
        8,
        neutral=8,
        doc="episodes of the task's probe dataset: random, smooth noise, and the noisy oracle",
        ge=1,
    )
    probe_oracle: bool = semantic(
        True,
        neutral=False,
        doc="whether a third of the probe's episodes is played by the noisy oracle, where the task has a simulator "
        "to plan on",
    )


class LegacyConfig(Section):
    """Faults of google-research/world_models that decide the comparison, to be studied; all off by default."""

    blind_inputs: bool = semantic(
        False,
        neutral=False,
        doc="pixel designs get frames divided by the largest 32-bit integer instead of 255: about 1e-7",
    )
    leaking_reward: bool = semantic(
        False,
        neutral=False,
        doc="latent designs with reward_from image are trained with the reward they predict among their inputs",
    )
    shifted_evaluation: bool = semantic(
        False,
        neutral=False,
        doc="open-loop errors compare the forecast of a step with the frame and reward of the step before",
    )


class RuntimeConfig(Section):
    """Where and how fast; may change the last bits of a number, never its meaning."""

    device: str = other(Category.NUMERIC, "auto", "auto, cpu, cuda or cuda:N")
    threads: int | None = other(
        Category.NUMERIC, None, "CPU threads of torch; null: set by the dispatcher", ge=1
    )
    parallel_envs: int = other(Category.NUMERIC, 4, "evaluation episodes played side by side", ge=1)
    oracle_processes: int | None = other(
        Category.NUMERIC, None, "processes that simulate for the oracle; null: one per CPU thread", ge=1
    )


class ResourcesConfig(Section):
    """What a scheduler must grant to a run, and how it is asked.

    Null: left to `wm estimate`, the user's profile, or the scheduler, in this order (`studies.cluster.granting`).
    """

    gpus: int = other(Category.RESOURCE, 0, "GPUs", ge=0)
    cpus: int = other(Category.RESOURCE, 2, "CPU cores", ge=1)
    memory_gb: float | None = other(
        Category.RESOURCE, None, "host memory in GB; null: measured, else 8", gt=0
    )
    hours: float | None = other(
        Category.RESOURCE, None, "hours a run may take in all; null: measured, else 24", gt=0
    )
    runs_per_gpu: int | None = other(
        Category.RESOURCE,
        None,
        "runs side by side in one allocation, on its GPU; null: measured, else 1",
        ge=1,
    )
    parallel: int | None = other(
        Category.RESOURCE, None, "allocations of a study at once; null: as many as are granted", ge=1
    )
    partition: str | None = other(Category.RESOURCE, None, "SLURM partition, or several with commas")
    account: str | None = other(Category.RESOURCE, None, "SLURM account")
    qos: str | None = other(Category.RESOURCE, None, "SLURM quality of service")
    reservation: str | None = other(Category.RESOURCE, None, "SLURM reservation")
    constraint: str | None = other(Category.RESOURCE, None, "features that a node must have, such as a100")
    nodelist: str | None = other(Category.RESOURCE, None, "nodes to use")
    exclude: str | None = other(Category.RESOURCE, None, "nodes not to use")
    gres: str | None = other(Category.RESOURCE, None, "generic resources, in place of gpus: gpu:a100:1")
    nice: int | None = other(Category.RESOURCE, None, "lowers the priority")
    begin: str | None = other(Category.RESOURCE, None, "not before, such as 22:00 or now+1hour")
    setup: str | None = other(
        Category.RESOURCE, None, "shell lines before a job's Python starts; one that fails ends the job"
    )
    python: str | None = other(
        Category.RESOURCE, None, "the Python of a job, a shell command; null: the one that submits"
    )
    srun: bool | None = other(Category.RESOURCE, None, "start the job's Python with srun; null: yes")
    sbatch: str | None = other(Category.RESOURCE, None, "further sbatch options, one a line: mail-type=END")


class StorageConfig(Section):
    """What is kept once a run is done."""

    training_frames: str = other(
        Category.STORAGE,
        "states",
        "all, states (actions, rewards, simulator states; frames can be rendered again), last:N or none",
        pattern=r"^(all|states|none|last:[1-9][0-9]*)$",
    )
    evaluation_episodes: bool = other(Category.STORAGE, True, "keep the final evaluation episodes")
    forecasts: bool = other(Category.STORAGE, True, "keep open-loop forecasts for pictures")
    checkpoint: Literal["model", "full", "none"] = other(
        Category.STORAGE, "model", "model: weights alone; full: with the optimiser; none"
    )
    checkpoint_minutes: float = other(
        Category.STORAGE, 10.0, "minutes between checkpoints while running", ge=0
    )
    tensorboard: bool = other(Category.STORAGE, False, "write TensorBoard events (extra `tensorboard`)")
