"""O3: one adapter for each request behind a gate."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig
from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.edits.base import Edit, Model, Prompts, as_edit, as_model
from unlearnkit.edits.output import copy_generation_config
from unlearnkit.engine.generation.generate import left_pad
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_links_out, refuse_occupied, write_json
from unlearnkit.models.adapter import beyond_low_rank
from unlearnkit.models.base import BaseModel, as_base_model, load_tokenizer
from unlearnkit.models.composite.base import PARTS
from unlearnkit.models.composite.detector import (
    SCORES,
    Detector,
    fit_detector,
    held_out,
    refuse_few,
    refuse_missing_sklearn,
)
from unlearnkit.models.composite.encoder import load_encoder, own_states, states_of
from unlearnkit.models.composite.gated import DETECTOR, PUBLISHED, GatedForCausalLM
from unlearnkit.models.composite.gated_folder import describe_gated, with_adapters
from unlearnkit.models.composite.parts import with_fingerprints
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import adapter_base, load_config, load_model

GATES = ("soft", "hard", *PUBLISHED)
RECORD = "gate.json"


class O3(Edit, name="o3"):
    """Switch a request's adapter on where a prompt is about the request (O3).

    Experimental. Detectors are fitted on the forget prompts of each run; gate.json in the folder
    has their weights for these prompts.

    Args:
        base: The model that the adapters were trained on. It is pointed at, and must stay where
            it is.
        adapter: Run folder of a request's LoRA adapter; several may be given, in their order.
        score: How a hidden state is scored: cosine, mahalanobis, or o3 (as published).
        encoder: Folder or hub id of a transformers encoder, such as one for sentences, that is
            to look at prompts in place of the base; it is pointed at. As published each request
            has its own: give as many as adapters, in their order.
        layers: Hidden states that are scored, the embedding first; by default one of the base, and
            all of an encoder.
        gate: soft (an adapter counts with the gate's weight), hard (wholly), or one of the steps in
            the authors' code: scienceqa (1.2 above 0.9, the weight itself from 0.3 to 0.4, and
            otherwise 0) or tofu (1 from 0.32, ten times the square above 0.2, and 0).
        threshold: With soft and hard, a prompt whose weights are all below it gets the base alone.
        nu: Share of its prompts that a request's one-class SVM may leave outside.
        heldout: Part of each request's prompts that its detector is only measured on, 0.2 in the
            authors' code; by default each prompt is measured by a detector of the others.
        seed: Of which prompts these are.
        prompts: Token ids of each request's prompts; at the shell they are those of the runs.

    References:
        Gao et al. 2024, "On Large Language Model Continual Unlearning" (O3), arXiv 2407.10223.
    """

    def __init__(
        self,
        base: Model,
        adapter: list[str],
        score: str = "cosine",
        encoder: str | list[str] | None = None,
        layers: int | None = None,
        gate: str = "soft",
        threshold: float = 0.5,
        nu: float = 0.1,
        heldout: float = 0.0,
        seed: int = 0,
        *,
        prompts: Sequence[Prompts] = (),
    ) -> None:
        self.base, self.layers = as_model(base), layers
        self.encoders = [encoder] if isinstance(encoder, str) else list(encoder or ())
        self.adapters, self.prompts = [Path(each) for each in adapter], list(prompts)
        self.score: Any = score
        self.gate, self.threshold, self.nu = gate, threshold, nu
        self.heldout, self.seed = heldout, seed

    def read_runs(self, read: Callable[[str], tuple[Path, Sequence[Example]]]) -> None:
        """Takes each run's adapter and forget prompts."""
        found = [read(str(each)) for each in self.adapters]
        self.adapters = [path for path, _ in found]
        self.prompts = [[row.prompt_ids for row in rows] for _, rows in found]

    @property
    def without_effect(self) -> dict[str, str]:
        """A published gate has its own threshold, and nothing is drawn where all is seen."""
        return {
            **({"threshold": f"with --gate {self.gate}"} if self.gate in PUBLISHED else {}),
            **({} if self.heldout else {"seed": "without --heldout"}),
        }

    def write(self, out: str | Path) -> Path:
        """Writes the gated model; adapters are copied, the base is pointed at.

        Raises:
            UserError: If an adapter is not one of this base, options are out of range,
                scikit-learn is not installed, or ``out`` exists.
        """
        self.refuse_without_effect()
        target = Path(out)
        refuse_occupied(target)
        refuse_missing_sklearn()
        with as_edit():
            config = load_config(self.base)
            blocks = config.get_text_config().num_hidden_layers
            states = min(map(states_of, self.encoders), default=blocks + 1)
            seen = (states if self.encoders else 1) if self.layers is None else self.layers
            self._check_options(seen, states)
            folders = {f"request{i}": each for i, each in enumerate(self.adapters, start=1)}
            _refuse_other_bases(self.base, list(folders.values()))
            options = {
                "score": self.score, "layers": seen, "gate": self.gate,
                "threshold": self.threshold,
            }  # fmt: skip
            described = describe_gated(self.base, config, list(folders), self.encoders, **options)
            parts = [self._parts(len(rows)) for rows in self.prompts]
            tokenizer = load_tokenizer(self.base)
            for each in self.encoders:
                load_tokenizer(each)
            model = load_model(BaseModel(self.base.path, dtype="auto"))
            own = [load_encoder(each, tokenizer) for each in self.encoders]
            many = len(own) > 1
            seen_by = own if many else (own or [partial(own_states, model)]) * len(folders)
            detectors = {
                name: self._detector(_features(encode, rows, seen), *part)
                for name, rows, encode, part in zip(
                    folders, self.prompts, seen_by, parts, strict=True
                )
            }
            with whole_model_folder(target) as folder:
                for name, each in folders.items():
                    refuse_links_out(each)
                    (folder / PARTS / name).mkdir(parents=True)
                    for file in ("adapter_config.json", "adapter_model.safetensors"):
                        shutil.copyfile(each / file, folder / PARTS / name / file)
                    detectors[name].save(folder / PARTS / name / DETECTOR)
                tokenizer.save_pretrained(folder)
                copy_generation_config(self.base, folder)
                with_fingerprints(described, folder).save_pretrained(folder)
                eyes: Any = dict(zip(folders, own, strict=True)) if many else next(iter(own), None)
                gated = GatedForCausalLM(described, with_adapters(model, folders), detectors, eyes)
                known = dict(zip(folders, self.prompts, strict=True))
                write_json(folder / RECORD, decisions(gated, tokenizer, known))
        return target

    def _parts(self, count: int) -> tuple[list[int], list[int]]:
        """Which of a request's prompts its detector is fitted on, and only measured on."""
        seen, unseen = held_out(count, self.heldout, self.seed)
        refuse_few(len(seen))
        if self.heldout and not unseen:
            raise UserError(
                f"--heldout: {self.heldout} of {count} prompts is none of them",
                hint="Leave it out, or give a larger part.",
            )
        return seen, unseen

    def _detector(self, features: Tensor, seen: list[int], unseen: list[int]) -> Detector:
        held = features[unseen] if unseen else None
        return fit_detector(features[seen], self.score, self.nu, held)

    def _check_options(self, layers: int, states: int) -> None:
        gate, threshold, nu = self.gate, self.threshold, self.nu
        eyes, requests = len(self.encoders), len(self.adapters)
        wrong = {
            f"--score: expected {', '.join(SCORES)}, found '{self.score}'": (
                self.score not in SCORES
            ),
            f"--layers: expected 1 to {states}, found {layers}": not 1 <= layers <= states,
            f"--gate: expected {', '.join(GATES)}, found '{gate}'": gate not in GATES,
            f"--heldout: expected a part, from 0 to below 1, found {self.heldout}": (
                not 0 <= self.heldout < 1
            ),
            f"--threshold: expected more than 0 to 1, found {threshold}": not 0 < threshold <= 1,
            f"--nu: expected more than 0 to 1, found {nu}": not 0 < nu <= 1,
            f"--encoder: expected one, or one for each of the {requests} adapters, found {eyes}": (
                eyes not in (0, 1, requests)
            ),
        }
        if found := [message for message, holds in wrong.items() if holds]:
            raise UserError("\n".join(found))


@torch.no_grad()
def _features(encode: Callable[..., Tensor], prompts: Prompts, layers: int) -> Tensor:
    """Mean hidden states of each prompt by itself, ``[prompts, layers, H]``."""
    rows = [torch.tensor([list(prompt)]) for prompt in prompts]
    return torch.cat([encode(ids, torch.ones_like(ids), layers).cpu() for ids in rows])


def decisions(
    model: GatedForCausalLM, tokenizer: Any, prompts: dict[str, Prompts], batch_size: int = 32
) -> list[dict[str, Any]]:
    """The gate's weights for prompts.

    Returns:
        One mapping per prompt: its ``group``, ``prompt``, the ``weights`` of all requests'
        detectors, and its ``adapter`` with its ``weight``; None and 0 for the base alone.
    """
    rows = [(group, each) for group, some in prompts.items() for each in some]
    found: list[dict[str, Any]] = []
    names = model.config.adapters
    pad = tokenizer.pad_token_id or 0
    for first in range(0, len(rows), batch_size):
        some = rows[first : first + batch_size]
        ids, mask = left_pad([each for _, each in some], pad, model.device)
        weights = model.gate_weights(ids, mask)
        chosen = model.chosen(weights)
        for (group, each), given, used in zip(some, weights, chosen, strict=True):
            at = int(used.argmax())
            weight = round(float(used[at]), 4)
            found.append(
                {
                    "group": group,
                    "prompt": tokenizer.decode(list(each), skip_special_tokens=True),
                    "weights": {n: round(float(w), 4) for n, w in zip(names, given, strict=True)},
                    "adapter": names[at] if weight else None,
                    "weight": weight,
                }
            )
    return found


def _refuse_other_bases(base: BaseModel, folders: Sequence[Path]) -> None:
    known = model_fingerprint(base)
    wrong: list[str] = []
    for folder in folders:
        if not (folder / "adapter_config.json").is_file():
            wrong.append(f"{folder}: expected a LoRA adapter, found no adapter_config.json")
            continue
        own = adapter_base(as_base_model(str(folder)))
        if model_fingerprint(own) != known:
            wrong.append(f"{folder}: expected an adapter of {base.path}, found one of {own.path}")
            continue
        config = PeftConfig.from_pretrained(str(folder))
        # The gate's weight scales low-rank products; all else would be on for every prompt.
        more = (
            beyond_low_rank(config) if isinstance(config, LoraConfig) else [f"{config.peft_type}"]
        )
        if more:
            wrong.append(f"{folder}: expected a plain LoRA adapter, found {', '.join(more)}")
    if wrong:
        raise UserError("\n".join(wrong), hint="Train every adapter on --base (model.lora).")
