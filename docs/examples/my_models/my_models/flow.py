"""A world model of one's own: a belief that each action moves and each frame corrects.

::

    belief --move(action)--> belief: the reward and the frame are read here --correct(frame)--> belief
"""

import torch
from torch import Tensor, nn

from models.trees import expand_rows
from models.types import Call, Draw, Forecast, Loss, ModelDesign, ModelSpec, Noise, Observation, SequenceBatch


class Flow(nn.Module):
    """Predicts rewards, and images if the design asks for them; trained to forecast from a drawn column on."""

    version = 1  # count up when its numbers change: runs of two versions are different runs

    def __init__(self, spec: ModelSpec, design: ModelDesign) -> None:
        super().__init__()
        options = {"units": 128, **design.options}
        self.units = options["units"]
        if len(options) > 1 or not isinstance(self.units, int) or self.units < 1:
            raise ValueError(f"Flow has one option, units, a whole number from 1; not {design.options}")
        if spec.predict_continues or spec.image_shape[1] % 4:
            raise ValueError("Flow takes tasks that do not terminate, and image sides that 4 divides")
        self.spec, self.weights, side = spec, design.weights, spec.image_shape[1] // 4
        with torch.random.fork_rng(devices=[]):  # design.seed alone decides the initial parameters
            torch.manual_seed(design.seed)
            down = [nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten()]
            self.encoder = nn.Sequential(*down, nn.Linear(32 * side**2, self.units))
            self.move = self._layers(self.units + spec.action_dim)
            self.correct = self._layers(2 * self.units)
            self.norm, self.reward = nn.LayerNorm(self.units), nn.Linear(self.units, 1)
            start = [nn.Linear(self.units, 32 * side**2), nn.ReLU(), nn.Unflatten(1, (32, side, side))]
            up = [nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1)]
            self.decoder = nn.Sequential(*start, *up) if spec.predict_images else None

    def _layers(self, inputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(inputs, self.units), nn.ReLU(), nn.Linear(self.units, self.units))

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        return {"split": Draw(lead, "uniform")} if call == "loss" else {}

    def initial(self, batch: int) -> Tensor:
        return self.norm.weight.new_zeros(batch, self.units)

    def step(self, net: nn.Module, belief: Tensor, news: Tensor) -> Tensor:
        return self.norm(belief + net(torch.cat([belief, news], -1))).float()

    def code(self, image: Tensor) -> Tensor:  # u8[.., 3, h, w] to [.., units]
        return self.encoder(image.flatten(0, -4) / 255).unflatten(0, image.shape[:-3])

    def observe(self, belief: Tensor, obs: Observation, noise: Noise) -> Tensor:
        anew = obs.first[:, None]  # such rows begin an episode: no belief, no action
        belief = self.step(self.move, belief.masked_fill(anew, 0), obs.action.masked_fill(anew, 0))
        return self.step(self.correct, belief, self.code(obs.image))

    def expand(self, belief: Tensor, candidates: int) -> Tensor:
        return expand_rows(belief, candidates)

    def read(self, beliefs: Tensor, decode: bool) -> tuple[Tensor, Tensor | None]:
        reward, image = self.reward(beliefs).squeeze(-1).float(), None
        if decode and self.decoder is not None:
            image = self.decoder(beliefs.flatten(0, -2)).unflatten(0, beliefs.shape[:-1]).float()
        return reward, image

    def predict(self, belief: Tensor, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:
        beliefs = []
        for action in actions.unbind(-2):
            belief = self.step(self.move, belief, action)
            beliefs.append(belief)
        reward, image = self.read(torch.stack(beliefs, -2), decode)
        return Forecast(reward, None if image is None else image.clamp(0, 1), None)

    def loss(self, batch: SequenceBatch, noise: Noise, progress: Tensor) -> Loss:
        clips, columns = batch.mask.shape
        belief, beliefs, codes = self.initial(clips), [], self.code(batch.image)
        for t in range(columns):
            belief = self.step(self.move, belief, batch.action[:, t])
            beliefs.append(belief)  # knows the frames before t, up to the drawn column
            seen = t <= noise["split"] * columns
            belief = torch.where(seen[:, None], self.step(self.correct, belief, codes[:, t]), belief)
        reward, image = self.read(torch.stack(beliefs, 1), decode=True)
        terms = {"reward_loss": 0.5 * (reward - batch.reward).square()}
        if image is not None:
            terms["image_loss"] = 0.5 * (image - batch.image / 255).square().sum((2, 3, 4))
        scored = batch.mask * ~batch.first  # columns that exist, less the resets
        means = {name: (term * scored).sum() / scored.sum().clamp(min=1) for name, term in terms.items()}
        scales = {"reward_loss": self.weights.reward_scale, "image_loss": self.weights.image_scale}
        total = torch.stack([scales[name] * term for name, term in means.items()]).sum()
        return Loss(total, {name: term.detach() for name, term in means.items()})
