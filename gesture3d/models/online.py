"""Networks that run on streams which do not end: state is carried from step to step.

A causal network sees nothing but the past, so that it can be stepped through a stream; what it
knows of the past is a flat tuple of tensors, its state. A whole clip is the same arithmetic, in one
call that starts from the initial state (carried state as in continual inference networks, Hedegaard
and Iosifidis, ECCV 2022, and stream buffers, Kondratyuk et al., MoViNets, CVPR 2021).
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gesture3d.errors import Gesture3dError
from gesture3d.models.network import Network

Shapes = list[tuple[int, ...]]
State = tuple[Tensor, ...]


class Carried:
    """The state in the middle of a step: layers take what they left the step before, in turn, and
    leave what they need in the next one.

    Without a state, a stream begins: everything before it is zero, and nothing is kept.
    """

    def __init__(self, state: Sequence[Tensor] | None = None) -> None:
        self._past = None if state is None else list(reversed(state))
        self._kept: list[Tensor] = []

    @property
    def begins(self) -> bool:
        return self._past is None

    def take(self, like: Tensor, shape: Sequence[int]) -> Tensor:
        """What the layer left, of this shape; at the beginning zeros of the dtype of ``like``."""
        return like.new_zeros(shape) if self._past is None else self._past.pop()

    def leave(self, tensor: Tensor, order: torch.memory_format = torch.contiguous_format) -> None:
        """Keep a copy in this order in memory, so that no step holds another's memory."""
        if self._past is not None:
            self._kept.append(tensor.clone(memory_format=order))

    def split(self, count: int) -> list[Tensor]:
        """The next ``count`` tensors, for a part of the network; none at the beginning."""
        return [] if self._past is None else [self._past.pop() for _ in range(count)]

    def join(self, state: Sequence[Tensor]) -> None:
        """Keep what was left in a part."""
        self._kept += state

    @property
    def state(self) -> State:
        return tuple(self._kept)


class OnlineNetwork(Network):
    """A `Network` that, where it is ``causal``, can be stepped through a stream.

    Attributes:
        step_frames: frames that a step takes, the network's stride in time.
    """

    step_frames: int = 1

    @abstractmethod
    def state_shapes(self, batch: int, size: Sequence[int]) -> Shapes:
        """Of the tensors of the state, in their order."""

    @abstractmethod
    def scores_of_steps(
        self, inputs: Tensor, lengths: Tensor | None, carried: Carried
    ) -> Float[Tensor, "B S K"]:
        """Scores at every recurrent step: what all other ways to call the network share."""

    def initial_state(self, batch: int, size: Sequence[int] = ()) -> State:
        """The state of ``batch`` streams before their first frame.

        Args:
            size: of a frame, (height, width); of feature vectors ().

        Raises:
            Gesture3dError: the network is not causal.
        """
        self.check_causal()
        like = next(self.parameters())
        return tuple(like.new_zeros(shape) for shape in self.state_shapes(batch, size))

    def step(self, chunk: Tensor, state: State) -> tuple[Float[Tensor, "B K"], State]:
        """The scores of one recurrent step, and the state behind it.

        Args:
            chunk: the next ``step_frames`` frames of each stream, (B, step_frames, …).

        Raises:
            Gesture3dError: the network is not causal; a chunk or state of another size.
        """
        if chunk.shape[1] != self.step_frames:
            raise Gesture3dError(
                f"a chunk of {chunk.shape[1]} frames: a step of this network takes "
                f"{self.step_frames} (step_frames)"
            )
        scores, state = self.run(chunk, state)
        return scores[:, 0], state

    def run(self, inputs: Tensor, state: State) -> tuple[Float[Tensor, "B S K"], State]:
        """As many steps in one call as there are frames for: (B, S · step_frames, …).

        In training, gradients flow through the state; detach it where they are to end.

        Raises:
            Gesture3dError: the network is not causal; frames that make no whole steps; a state of
                another network, batch or size.
        """
        self.check_causal()
        frames = inputs.shape[1]
        if frames == 0 or frames % self.step_frames:
            raise Gesture3dError(
                f"{frames} frames make no whole steps: give a multiple of {self.step_frames}"
            )
        found = [tuple(tensor.shape) for tensor in state]
        expected = self.state_shapes(len(inputs), tuple(inputs.shape[3:]))
        if found != expected:
            what = f"has {len(found)} tensors, not {len(expected)}"
            for number, (has, needs) in enumerate(zip(found, expected, strict=False)):
                if has != needs:
                    what = f"has {has} at {number}, not {needs}"
                    break
            raise Gesture3dError(
                f"the state {what}: it is of another network, or the streams' number or frame "
                "size has changed; begin again with initial_state"
            )
        carried = Carried(state)
        return self.scores_of_steps(inputs, None, carried), carried.state

    def step_scores(
        self, inputs: Tensor, lengths: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B S K"]:
        """Scores at every recurrent step of whole clips or sequences, whose mean is the clip's.

        Step s ends with frame (s + 1) · ``step_frames``; frames that make no whole step at the end
        are left out. Behind a sequence's end scores are arbitrary. A video network that is not
        causal has scores of steps, too, which depend on all frames; one for sequences has not.
        """
        return self.scores_of_steps(inputs, lengths, Carried())

    def check_causal(self) -> None:
        """Raise Gesture3dError unless the network is causal."""
        if not self.causal:
            raise Gesture3dError(
                "this network looks into the future, so it has no state for a stream: train one "
                "with --set model.causal=true"
            )
