"""The recorder as a callback of Lightning's `Trainer`."""

import sys
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from deadtokens.recording.attach import Attached, library
from deadtokens.recording.steps import bare

NAMES = ("lightning.pytorch", "pytorch_lightning")  # of one library; that in use, if one is
pytorch = library(*sorted(NAMES, key=lambda name: name not in sys.modules))


class LightningRecorder(Attached, pytorch.Callback):
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
        self._begin(pl_module, trainer.optimizers)

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
