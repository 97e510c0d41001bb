"""The recorder as a callback of Lightning's `Trainer`."""

import sys
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from types import ModuleType
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from deadtokens.extras import told_by_name
from deadtokens.recording.attach import Attached
from deadtokens.recording.steps import bare

NAMES = ("lightning.pytorch", "pytorch_lightning")  # of one library


def _in_use() -> ModuleType:
    """Return the library by that of its names which is imported, or else installed."""
    imported = [name for name in NAMES if sys.modules.get(name)]
    installed = [name for name in NAMES if find_spec(name.partition(".")[0])]
    with told_by_name():
        return import_module([*imported, *installed, *NAMES][0])


class LightningRecorder(Attached, _in_use().Callback):
    """Records a training of Lightning: give it to `Trainer(callbacks=[...])`.

    Of several optimizers the one that has the weight is recorded. The loss is recorded with
    automatic optimization: what `training_step` returns, its mean over an update's batches. With
    manual optimization give `recorder.loss` what `manual_backward` is called on.

    Parameters
    ----------
    folder, weight, forward, **options
        As `Attached` takes them.
    """

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to record."""
        total = trainer.estimated_stepping_batches  # may be infinite
        known = pl_module.automatic_optimization and isfinite(total)
        self._begin(
            pl_module, trainer.optimizers, int(total) - trainer.global_step if known else None
        )

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """Note the loss of a batch, which is divided by how many an update has."""
        if pl_module.automatic_optimization and not self._several and self.recorder is not None:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            scale = 1.0 if scaler is None else scaler.get_scale()
            self.recorder.loss(loss.detach() / scale)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Optimizer) -> None:
        """Bring together how often tokens stood in the update's batches."""
        if bare(optimizer) is self._optimizer:
            self._gather()

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Finish the present file: a resumed training goes on here."""
        self._checkpoint()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop recording."""
        self.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Stop recording: what is recorded is complete."""
        self.close()
