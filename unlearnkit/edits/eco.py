"""ECO: a classifier finds prompts, and their embeddings are corrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.edits.base import Edit, Model, Rows, as_edit, as_model
from unlearnkit.edits.output import copy_generation_config
from unlearnkit.edits.rows import Columns, read_rows
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.composite.corrupted_folder import describe_corrupted
from unlearnkit.models.composite.detector import refuse_missing_sklearn
from unlearnkit.models.composite.encoder import own_states
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.load import load_config, load_model

RECORD = "eco.json"


class Eco(Edit, name="eco"):
    """Corrupt the embeddings of prompts that a classifier takes for forgotten ones (ECO).

    Experimental. The weights stay as they are. The classifier is a logistic regression on the mean
    hidden state of a prompt, where the authors finetune an encoder; ``eco.json`` says how it
    decides on the rows that it was fitted on.

    Args:
        base: The model, left as it is. It is pointed at, and must stay where it is.
        forget: File of rows whose prompts are to be found, or the id of a data set, as of a
            stream qa.
        retain: File of rows whose prompts are not, with the same columns.
        strength: Standard deviation of the noise.
        dims: How many of the first dimensions of an embedding it is added to.
        threshold: Prompts with a greater probability are corrupted; the authors take 0.99.
        layers: The classifier sees the last of so many hidden states, the embedding first.
        seed: Of the noise.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as of a stream qa.

    References:
        Liu, Wang, Flanigan, Liu 2024, "Large language model unlearning via embedding-corrupted
        prompts" (ECO), arXiv 2406.07933; noise on the first dimensions of all prompt tokens but
        the last is one of the corruptions of the published code.
    """

    def __init__(
        self,
        base: Model,
        forget: Rows,
        retain: Rows,
        strength: float = 1.0,
        dims: int = 1,
        threshold: float = 0.99,
        layers: int = 1,
        seed: int = 0,
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str = "{prompt}",
    ) -> None:
        self.base, self.rows = as_model(base), {"forget": forget, "retain": retain}
        self.columns = Columns(prompt_field, response_field, template)
        self.strength, self.dims, self.threshold = strength, dims, threshold
        self.layers, self.seed = layers, seed

    def write(self, out: str | Path) -> Path:
        """Writes the model.

        Raises:
            UserError: If an option is out of range, scikit-learn is not installed, or ``out``
                exists.
        """
        target = Path(out)
        refuse_occupied(target)
        refuse_missing_sklearn()
        with as_edit():
            config = load_config(self.base)
            self._check(config.get_text_config())
        rows = {kind: read_rows(self.base, each, self.columns) for kind, each in self.rows.items()}
        with as_edit():
            tokenizer = load_tokenizer(self.base)
            model = load_model(BaseModel(self.base.path, dtype="auto"))
            features = {kind: _features(model, each, self.layers) for kind, each in rows.items()}
            coefficients, bias = fit_classifier(features["forget"], features["retain"])
            described = describe_corrupted(
                self.base, config, coefficients=coefficients.tolist(), bias=bias,
                layers=self.layers, threshold=self.threshold, strength=self.strength,
                dims=self.dims, seed=self.seed,
            )  # fmt: skip
            with whole_model_folder(target) as folder:
                tokenizer.save_pretrained(folder)
                copy_generation_config(self.base, folder)
                described.save_pretrained(folder)
                found = {
                    kind: _decisions(each, coefficients, bias, self.threshold)
                    for kind, each in features.items()
                }
                write_json(folder / RECORD, {"threshold": self.threshold, **found})
        return target

    def _check(self, config: Any) -> None:
        size, states = config.hidden_size, config.num_hidden_layers + 1
        wrong = {
            f"--strength: expected above 0, found {self.strength}": not self.strength > 0,
            f"--dims: expected 1 to {size}, found {self.dims}": not 1 <= self.dims <= size,
            f"--threshold: expected 0 to below 1, found {self.threshold}": (
                not 0 <= self.threshold < 1
            ),
            f"--layers: expected 1 to {states}, found {self.layers}": (
                not 1 <= self.layers <= states
            ),
        }
        if found := [message for message, holds in wrong.items() if holds]:
            raise UserError("\n".join(found))


def fit_classifier(forget: Tensor, retain: Tensor) -> tuple[Tensor, float]:
    """Coefficients ``[H]`` and bias of a logistic regression, both kinds of one weight.

    Args:
        forget: ``[N, H]`` features that are to be found.
        retain: ``[M, H]`` features that are not.

    Needs scikit-learn: ``pip install 'unlearnkit[gate]'``.
    """
    from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]

    both = torch.cat([forget, retain]).double()
    scale = both.std().clamp(min=1e-12)
    kinds = [1] * len(forget) + [0] * len(retain)
    fitted: Any = LogisticRegression(C=100.0, class_weight="balanced", max_iter=1000)
    fitted.fit((both / scale).numpy(), kinds)
    return torch.tensor(fitted.coef_[0]).div(scale).float(), float(fitted.intercept_[0])


@torch.no_grad()
def _features(model: Any, rows: Sequence[Example], layers: int) -> Tensor:
    """Mean hidden state of each prompt by itself, ``[rows, H]``."""
    ids = [torch.tensor([list(each.prompt_ids)]) for each in rows]
    return torch.cat(
        [own_states(model, each, torch.ones_like(each), layers)[:, -1] for each in ids]
    )


def _decisions(
    features: Tensor, coefficients: Tensor, bias: float, threshold: float
) -> dict[str, Any]:
    """How many prompts are corrupted, and the lowest and highest probability."""
    found = (features @ coefficients + bias).sigmoid()
    return {
        "rows": len(found),
        "corrupted": int((found > threshold).sum()),
        "lowest": round(float(found.min()), 4),
        "highest": round(float(found.max()), 4),
    }
