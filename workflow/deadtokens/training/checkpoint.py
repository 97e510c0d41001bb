"""Checkpoints: a run between two segments, as safetensors with JSON in the header."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.seal import check_seal
from deadtokens.training.trainer import Trainer

MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(trainer: Trainer, origin: dict[str, str], path: Path) -> None:
    """Write the weights, the moments and the number of updates.

    Parameters
    ----------
    trainer : Trainer
    origin : dict of str to str
        What the run continues from bit for bit only if it is the same (see `load_checkpoint`).
    path : Path
    """
    tensors = {}
    for name, parameter in trainer.model.named_parameters():
        tensors[f"{name}/weight"] = parameter.detach()
        state = trainer.optimizer.state.get(parameter, {})
        tensors |= {f"{name}/{moment}": state[moment] for moment in MOMENTS if state}
    about = {"update": trainer.update, "diverged_at": trainer.diverged_at, "origin": origin}
    content = save(
        {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"about": json.dumps(about)},
    )
    with complete_or_absent(path, needed=len(content)) as temporary:
        temporary.write_bytes(content)


@torch.no_grad()
def load_checkpoint(trainer: Trainer, origin: dict[str, str], path: Path) -> None:
    """Set `trainer` to the state saved in `path`.

    Raises
    ------
    UserError
        If the file is damaged or not sealed, or the run was trained by another spec, on another
        text, on another class of device or with another torch: continuing would not give the bits
        of one piece.
    """
    check_seal(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            _check_origin(about["origin"], origin, path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path}: not a readable checkpoint ({error}); remove it to train from the one before"
        ) from None
    trainer.update, trainer.diverged_at = about["update"], about["diverged_at"]
    for name, parameter in trainer.model.named_parameters():
        parameter.copy_(tensors[f"{name}/weight"])
        if f"{name}/exp_avg" in tensors:
            trainer.optimizer.state[parameter] = {
                "step": torch.tensor(float(trainer.update)),
                **{moment: tensors[f"{name}/{moment}"].to(trainer.device) for moment in MOMENTS},
            }


def _check_origin(saved: dict[str, str], current: dict[str, str], path: Path) -> None:
    for part, value in current.items():
        if saved.get(part) != value:
            raise UserError(
                f"{path}: trained with {part} {saved.get(part)!r}, now it is {value!r}: the bits "
                f"would not be those of one run; restore it, or remove {path.parent.parent} to "
                "train the run anew"
            )
