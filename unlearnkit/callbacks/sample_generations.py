"""Shows what the model says to forget prompts while it unlearns."""

from __future__ import annotations

import lightning as L
from rich.table import Table
from rich.text import Text

from unlearnkit.callbacks.base import NamedCallback
from unlearnkit.data.datamodule import datamodule_of
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.last_turn import last_user_turn
from unlearnkit.engine.generation.stopping import decode
from unlearnkit.engine.training.fsdp2 import is_sharded
from unlearnkit.redact import printable
from unlearnkit.terminal import TextConsole


class SampleGenerations(NamedCallback, name="sample_generations"):
    """Prints greedy continuations of the first prompts of a stream.

    Args:
        stream: Whose prompts are continued.
        prompts: How many.
        every_n_epochs: How often; 0 for at the end alone.
        max_new_tokens: Length of a continuation.
    """

    def __init__(
        self,
        stream: str = "forget",
        prompts: int = 2,
        every_n_epochs: int = 0,
        max_new_tokens: int = 24,
    ) -> None:
        self.stream, self.prompts = stream, prompts
        self.every_n_epochs, self.max_new_tokens = every_n_epochs, max_new_tokens

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints, if it is this epoch's turn."""
        epoch = trainer.current_epoch + 1
        if self.every_n_epochs and epoch % self.every_n_epochs == 0:
            self._show(trainer, pl_module, f"after epoch {epoch}")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints once more, unless the last epoch just did."""
        if not self.every_n_epochs:
            self._show(trainer, pl_module, "at the end")

    def _show(self, trainer: L.Trainer, pl_module: L.LightningModule, when: str) -> None:
        # A sharded model generates only when all processes take part, the same text on each.
        if not trainer.is_global_zero and not is_sharded(trainer):
            return
        module = datamodule_of(trainer)
        data, tokenizer = module.data[self.stream], module.tokenizer
        prompts = [data.measured(row)[0].prompt_ids for row in range(min(self.prompts, len(data)))]
        said = generate(
            pl_module.policy,  # pyright: ignore
            tokenizer,
            prompts,
            max_new_tokens=self.max_new_tokens,
        )
        if not trainer.is_global_zero:
            return
        table = Table(title=f"{self.stream}: continuations {when}")
        table.add_column("prompt")
        table.add_column("model")
        for prompt, generation in zip(prompts, said, strict=True):
            text = decode(tokenizer, prompt)
            shown = last_user_turn(tokenizer, text) or text
            table.add_row(Text(printable(shown)), Text(printable(generation.text)))
        TextConsole().print(table)
