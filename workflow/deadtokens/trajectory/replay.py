"""State tensors that a segment does not hold, replayed from its first state and its gradients.

The run's own update rule takes the state on, update by update, as training did. Whatever is handed
out is proven first: it has the checksums that training took.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import NoReturn

import h5py
import numpy as np
import torch
from torch import Tensor

from deadtokens.errors import UserError
from deadtokens.run import layout
from deadtokens.run.bits import as_tensor, bits_of, unsigned
from deadtokens.run.compiled_update import update_W
from deadtokens.run.device import describe_device
from deadtokens.run.formats import UNSIGNED, signed
from deadtokens.run.rounding import rounding_of
from deadtokens.run.rule import rule_of
from deadtokens.run.spec import read_spec
from deadtokens.trajectory.chunks import place
from deadtokens.trajectory.contents import mean_squares
from deadtokens.trajectory.inflate import Rows, inflate_now, overlap
from deadtokens.trajectory.proof import checksums_differ

TOGETHER = 2**15  # values of a tensor that are replayed together: a core's L2 holds the state
STEPS = layout.STEPS_PER_CHUNK  # that are collected before they are handed out


class Replay:
    """A segment's replay; steps that are asked for in order are computed once.

    Parameters
    ----------
    file : h5py.File
        Of a segment with gradients; open as long as something is read.
    tokens : range, optional
        Rows, whole groups, if not all are wanted.
    grad : Tensor of shape (updates, tokens, components), optional
        All the segment's gradients of these rows, if the caller reads them anyway.
    pending : sequence of Future
        What reads them.
    """

    def __init__(
        self,
        file: h5py.File,
        tokens: range | None = None,
        grad: Tensor | None = None,
        pending: Sequence[Future] = (),
    ):
        self.file, self.rule = file, rule_of(read_spec(file.attrs["spec"]))
        self.grad, self.pending = grad, tuple(pending)
        self.rounding = rounding_of(file.attrs)
        self.tokens, self.components = file["grad"].shape[:2]
        self.before = int(file["state"][0])
        groups = file["row_group"][...]
        self.group = int(groups[1]) if len(groups) > 1 else self.tokens
        self.stated = {
            name: torch.from_numpy(signed(file[f"checksum_{name}"][...]))
            for name in layout.replayed(file)
        }
        self.states = list(self.rule.states)
        self.mean_squares = mean_squares(file)
        wanted = range(self.tokens) if tokens is None else tokens
        size = self.group * max(1, TOGETHER // (self.group * self.components))
        starts = range(0, len(wanted), size)
        self.parts = [ReplayedRows(self, wanted[start : start + size], start) for start in starts]

    def begin(
        self,
        outs: Mapping[str, np.ndarray],
        tokens: Rows,
        steps: range,
        pool: ThreadPoolExecutor,
    ) -> list[Future]:
        """Begin to replay; what is asked for is in `outs` when the returned futures are done.

        Parameters
        ----------
        outs : mapping of str to ndarray of shape (tokens, components, steps)
            By name of the tensor; as `inflate` takes them.
        tokens : Rows
        steps : range, step 1
            Positions among the segment's states.
        pool : ThreadPoolExecutor
            To which what reads given gradients was submitted before.

        Raises
        ------
        UserError
            By the futures: if the replay does not give the bits that training had.
        """
        return [
            pool.submit(part.write, outs, tokens, steps) for part in self.parts if part.has(tokens)
        ]

    def first(self, name: str, rows: range) -> Tensor:
        """Return rows of a tensor at the segment's first state, in the recorded format."""
        origin = self.file[name if name in self.file else f"first_{name}"]
        format = origin.attrs["recorded_dtype"]
        if origin.ndim == 3:
            bits = np.empty((len(rows), self.components, 1), UNSIGNED[format])
            inflate_now(origin, rows, range(1), bits)
            return as_tensor(bits[:, :, 0].copy(), format)
        bits = origin[rows.start : rows.stop].view(np.uint32)
        return as_tensor((bits >> 16).astype(np.uint16) if format == "bfloat16" else bits, format)

    def stated_of(self, name: str, rows: range) -> Tensor:
        """Return the checksums that training took of rows of a tensor, (groups, states)."""
        return self.stated[name][rows.start // self.group : -(-rows.stop // self.group)]

    def check(self, name: str, tensor: Tensor, rows: range, position: int) -> None:
        """Raise a UserError if the checksums of rows of a state are not those of training."""
        differs = checksums_differ(tensor, self.stated_of(name, rows)[:, position], self.group)
        if differs.any():
            row = rows.start + int(differs.nonzero()[0]) * self.group
            self._refuse(name, row, self.before + position)

    def _refuse(self, name: str, row: int, state: int) -> NoReturn:
        last = min(row + self.group, self.tokens) - 1
        here = f"{describe_device(torch.device('cpu'))} with torch {torch.__version__}"
        packages = self.file.attrs.get("packages", "torch of an unknown version").split(", ")
        torch_there = next(package for package in packages if package.startswith("torch "))
        there = f"{self.file.attrs.get('device', 'an unknown device')} with {torch_there}"
        cause = "so the file is not what training wrote" if here == there else "which must agree"
        raise UserError(
            f"{self.file.filename}: the replay of run {self.file.attrs['run']} does not give the "
            f"bits of {name}, rows {row:,} to {last:,}, that training had after update {state:,}: "
            f"replayed on {here}, trained on {there}, {cause}; read it where it was trained, or "
            "train it anew with all tensors in record.tensors"
        )


class ReplayedRows:
    """Some rows of a segment, taken from state to state; to go back they begin anew."""

    def __init__(self, replay: Replay, rows: range, offset: int):
        self.replay, self.rows, self.lock = replay, rows, Lock()
        self.position, self.state = -1, {}
        self.held, self.gradients = range(0), None
        if replay.grad is not None:
            self.held = range(len(replay.grad))
            self.gradients = replay.grad[:, offset : offset + len(rows)]

    def has(self, tokens: Rows) -> bool:
        """Return whether one of the tokens is here."""
        _, theirs = overlap(tokens, self.rows.start, len(self.rows))
        return theirs.start < theirs.stop

    def write(self, outs: Mapping[str, np.ndarray], tokens: Rows, steps: range) -> None:
        """Write states into `outs`, as `Replay.begin` says."""
        for future in self.replay.pending:
            future.result()
        mine, theirs = overlap(tokens, self.rows.start, len(self.rows))
        with self.lock:
            for start in range(0, len(steps), STEPS):
                part = steps[start : start + STEPS]
                for name, states in self._states(list(outs), part).items():
                    bits = unsigned(bits_of(states[:, mine])).transpose(1, 2, 0)
                    place(bits, outs[name][theirs, :, start : start + len(part)])

    def _states(self, names: list[str], steps: range) -> dict[str, Tensor]:
        """Return tensors in consecutive states, each (steps, rows, components), proven."""
        if not 0 <= self.position <= steps.start:
            self.state = {name: self.replay.first(name, self.rows) for name in self.replay.states}
            self.position = 0
        states = {name: self._empty(name, len(steps)) for name in names}
        for position in range(self.position, steps.stop):
            self._go_to(position)
            for name in names if position in steps else []:
                self.replay.check(name, self.state[name], self.rows, position)
                states[name][position - steps.start] = self.state[name]
        return states

    def _empty(self, name: str, steps: int) -> Tensor:
        return self.state[name].new_empty((steps, *self.state[name].shape))

    def _go_to(self, position: int) -> None:
        """Take the next update, unless the state is there already."""
        if position > self.position:
            grad, update = self._gradient(self.position), self.replay.before + position
            shared = self.replay.rounding, self.replay.mean_squares[self.position]
            update_W(self.replay.rule, self.state, grad, update, self.rows.start, *shared)
            self.position = position

    def _gradient(self, index: int) -> Tensor:
        """Return the rows' gradient of the segment's update number `index`, from 0."""
        if index not in self.held:
            dataset = self.replay.file["grad"]
            length, format = dataset.chunks[2], dataset.attrs["recorded_dtype"]
            start = index - index % length
            self.held = range(start, min(start + length, dataset.shape[2]))
            shape = (len(self.held), len(self.rows), self.replay.components)
            bits = np.empty(shape, UNSIGNED[format])
            inflate_now(dataset, self.rows, self.held, bits.transpose(1, 2, 0))
            self.gradients = as_tensor(bits, format)
        return self.gradients[index - self.held.start]
