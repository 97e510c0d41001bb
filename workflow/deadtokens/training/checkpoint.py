"""Checkpoints: a run between two segments, as safetensors with JSON in the header."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.identity import check_run, claim_of, updates_per_segment
from deadtokens.remedy import remedy
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import carried_formats
from deadtokens.seal import check_seal
from deadtokens.training.trainer import Trainer

WEIGHT = "weight"
ABOUT = ("update", "diverged_at", "origin", "machine", "making")


def _name(parameter: str, kind: str) -> str:
    """Return what a parameter's weights, or what is carried beside them, are called in the file."""
    return f"{parameter}/{kind}"


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds.

    Attributes
    ----------
    update : int
        Number of updates applied.
    diverged_at : int or None
        The update whose loss was not finite.
    origin, machine : dict of str to str
    making : str
        As they were given to `save_checkpoint`.
    tensors : dict of str to Tensor
        By parameter and kind: ``embedding.weight/weight``, ``embedding.weight/exp_avg``, ...
    """

    update: int
    diverged_at: int | None
    origin: dict[str, str]
    machine: dict[str, str]
    making: str
    tensors: dict[str, Tensor]

    def of_kind(self, kind: str) -> dict[str, Tensor]:
        """Return all weights, or all that stands beside them, by the model's parameters' names."""
        ending = _name("", kind)
        return {
            name.removesuffix(ending): tensor
            for name, tensor in self.tensors.items()
            if name.endswith(ending)
        }


def save_checkpoint(
    trainer: Trainer,
    origin: Mapping[str, str],
    path: Path,
    machine: Mapping[str, str] | None = None,
    making: str = "",
) -> None:
    """Write the weights, what the optimizer carries beside them, and the number of updates.

    Parameters
    ----------
    trainer : Trainer
    origin : mapping of str to str
        What the run continues from bit for bit only if it is the same (see `load_checkpoint`).
    path : Path
    machine : mapping of str to str, optional
        As `machine.describe_machine` gives it.
    making : str
        What determined it and the segment before it, as `finished.making_of` says it.
    """
    tensors = {}
    for name, parameter in trainer.model.named_parameters():
        held = {WEIGHT: parameter.detach()} | trainer.optimizer.state.get(parameter, {})
        kinds = (WEIGHT, *carried_formats(trainer.spec))
        tensors |= {_name(name, kind): held[kind] for kind in kinds if kind in held}
    about = {
        "update": trainer.update,
        "diverged_at": trainer.diverged_at,
        "origin": dict(origin),
        "machine": dict(machine or {}),
        "making": making,
    }
    content = save(
        {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"about": json.dumps(about)},
    )
    with complete_or_absent(path, needed=len(content)) as temporary:
        temporary.write_bytes(content)


def read_saved(path: Path) -> Saved:
    """Read a checkpoint, as it was sealed, of the run and the segment that its place names.

    Raises
    ------
    UserError
        If the file is damaged, not sealed, no checkpoint, or another one.
    """
    check_seal(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        saved = Saved(*(about[name] for name in ABOUT), tensors)
        problem = _misfit(saved)
    except Exception as error:  # a flipped bit makes the libraries raise anything
        problem = str(error)
    if problem:
        raise UserError(f"{path}: not a readable checkpoint ({problem}); {remedy(path)}") from None
    _check_place(saved, path)
    return saved


def _misfit(saved: Saved) -> str:
    """Return what is no property of a checkpoint, '' if all is right."""
    if not _is_count(saved.update):
        return f"its number of updates is {saved.update!r}"
    if saved.diverged_at is not None and saved.diverged_at != saved.update + 1:
        return f"it diverged at {saved.diverged_at!r} after {saved.update:,} updates"
    for name, mapping in (("origin", saved.origin), ("machine", saved.machine)):
        if not isinstance(mapping, dict) or set(map(type, mapping.values())) - {str}:
            return f"its {name} is {mapping!r}"
    return ""


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _check_place(saved: Saved, path: Path) -> None:
    """Compare a checkpoint with the run and the segment that its folder and name say."""
    claim = claim_of(path)
    if claim is None or claim.number is None:
        return
    spec = saved.origin.get("spec", "")
    check_run(path, claim.run, spec)
    check_end(saved, (claim.number + 1) * updates_per_segment(path, spec), path)


def check_end(saved: Saved, end: int, path: Path) -> None:
    """Check that a checkpoint is that of `end` updates, or of fewer if the run diverged before.

    Raises
    ------
    UserError
        If it is not.
    """
    if saved.update != end and (saved.diverged_at is None or saved.update > end):
        raise UserError(
            f"{path}: holds the state after update {saved.update:,}, where that after {end:,} is "
            f"needed; give the checkpoint of the segment before, or {remedy(path)}"
        )


def check_tensors(saved: Saved, model: nn.Module, spec: RunSpec, path: Path) -> None:
    """Check that a checkpoint holds a model's parameters and what is carried, nothing else.

    Parameters
    ----------
    saved : Saved
    model : Module
    spec : RunSpec
        Of the run, which says what is carried beside them, and in which formats.
    path : Path

    Raises
    ------
    UserError
        Which tensor is missing, has another shape or format, or is none of the model's.
    """
    expected = dict(_expected(model, spec, begun=saved.update > 0))
    found = {name: (tuple(it.shape), it.dtype) for name, it in saved.tensors.items()}
    for name in {**expected, **found}:
        if found.get(name) != expected.get(name):
            raise UserError(
                f"{path}: tensor {name!r} is {_said(found.get(name))} in the file and "
                f"{_said(expected.get(name))} in the run; {remedy(path)}"
            )


def _expected(
    model: nn.Module, spec: RunSpec, begun: bool
) -> Iterator[tuple[str, tuple[tuple[int, ...], torch.dtype]]]:
    formats = {WEIGHT: REGIMES[spec.precision].parameters}
    formats |= carried_formats(spec) if begun else {}
    for name, parameter in model.named_parameters():
        for kind, number_format in formats.items():
            yield _name(name, kind), (tuple(parameter.shape), getattr(torch, number_format))


def _said(tensor: tuple[tuple[int, ...], torch.dtype] | None) -> str:
    if tensor is None:
        return "absent"
    shape, number_format = tensor
    return f"{number_format} of shape {shape}".removeprefix("torch.")


@torch.no_grad()
def load_checkpoint(trainer: Trainer, origin: Mapping[str, str], path: Path) -> Saved:
    """Set `trainer` to the state saved in `path`, and return what was read.

    Raises
    ------
    UserError
        If the file is damaged or not sealed, lacks a tensor of the model or has another, or the run
        was trained by another spec, on another text, or with another torch: continuing would not
        give the bits of one piece. Where it was trained the caller compares.
    """
    saved = read_saved(path)
    _check_origin(saved.origin, origin, path)
    check_tensors(saved, trainer.model, trainer.spec, path)
    trainer.update, trainer.diverged_at = saved.update, saved.diverged_at
    carried = {kind: saved.of_kind(kind) for kind in carried_formats(trainer.spec)}
    weights = saved.of_kind(WEIGHT)
    for name, parameter in trainer.model.named_parameters():
        parameter.copy_(weights[name])
        if trainer.update:
            beside = {kind: held[name].to(trainer.device) for kind, held in carried.items()}
            step = torch.tensor(float(trainer.update))
            trainer.optimizer.state[parameter] = {"step": step} | beside
    return saved


def _check_origin(saved: Mapping[str, str], current: Mapping[str, str], path: Path) -> None:
    for part, value in current.items():
        if saved.get(part) != value:
            raise UserError(
                f"{path}: trained with {part} {saved.get(part)!r}, now it is {value!r}: the bits "
                f"would not be those of one run; restore it, or remove {path.parent.parent} to "
                "train the run anew"
            )
