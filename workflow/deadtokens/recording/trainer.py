"""The recorder as a callback of HuggingFace's `Trainer`."""

from typing import Any

from torch import Tensor, nn

from deadtokens.errors import UserError
from deadtokens.extras import told_by_name
from deadtokens.recording.attach import Attached
from deadtokens.recording.watching import Watching

with told_by_name():
    from transformers import TrainerCallback


class TrainerRecorder(Attached, TrainerCallback):
    """Records a training of `transformers.Trainer`: give it to `trainer.add_callback`.

    The loss is what the model returns, as its gradient is computed: the sum over an update's
    batches where the model weighs each by its tokens, or else their mean. One that is computed
    outside of the model, as `label_smoothing_factor` has it, is not recorded.

    Parameters
    ----------
    folder, weight, forward, **options
        As `Attached` takes them. Without `tokenizer` the trainer's `processing_class` spells the
        tokens, if it is one.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Begin to record."""
        if args.n_gpu > 1:
            raise UserError(
                f"the training spreads each batch over {args.n_gpu} GPUs within one process "
                "(DataParallel), and that cannot be recorded; start it with torchrun, or show it "
                "one GPU"
            )
        tokenizer = given.get("processing_class")
        if hasattr(tokenizer, "convert_ids_to_tokens"):
            self._options = {"tokenizer": tokenizer} | self._options
        self._losses: list[Tensor] = []
        self._weighed = False
        to_come = state.max_steps - state.global_step
        parts = self._begin(given["model"], [given["optimizer"]], to_come)
        if parts.language is not None and not self._several:
            keep = Watching(self._add_loss, self._guard)
            hook = parts.language.register_forward_hook(keep, with_kwargs=True)
            self._open.callback(hook.remove)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Hand over the loss of the update's batches, and how often tokens stood in them."""
        self._gather()
        if self._losses:
            total = sum(self._losses)
            self.recorder.loss(total if self._weighed else total / len(self._losses))
            self._losses.clear()

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Finish the present file: a resumed training goes on here."""
        self._checkpoint()

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Stop recording."""
        self.close()

    def _add_loss(
        self, module: nn.Module, arguments: tuple, named: dict[str, Any], output: Any
    ) -> None:
        """Keep a batch's loss; with `num_items_in_batch` it is a share of the update's."""
        loss = getattr(output, "loss", None)
        if module.training and isinstance(loss, Tensor):
            self._losses.append(loss.detach())
            self._weighed = named.get("num_items_in_batch") is not None
