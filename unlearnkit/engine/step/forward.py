"""One forward pass over a batch, and its quantities for objectives."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.data.pack import Batch, part_of, row_lengths
from unlearnkit.engine.step.attention import no_mask
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.patterns import Pattern
from unlearnkit.engine.step.perturbation import Perturbation
from unlearnkit.engine.step.token_weights import Expected, pattern
from unlearnkit.engine.step.views import StreamView, TokenSource
from unlearnkit.models.modes import captured_states
from unlearnkit.models.rope import forget_long_rows, row_groups
from unlearnkit.models.wrapped import unwrapped


class ForwardPass:
    """Hidden states of a batch's response positions, and logits of those alone.

    Args:
        model: The model; its forward runs at once, and more than once where rows of this batch
            must not share a pass (`unlearnkit.models.rope`).
        head: Its output head.
        batch: The packed rows.
        layers: Decoder blocks whose outputs are wanted.
        perturbation: What is added to outputs of decoder blocks.
    """

    def __init__(
        self,
        model: nn.Module,
        head: Head,
        batch: Batch,
        *,
        layers: Collection[int] = (),
        perturbation: Perturbation | None = None,
    ) -> None:
        self._head, self._batch = head, batch
        groups = row_groups(model, row_lengths(batch))
        if len(groups) < 2:
            self._states, self._blocks = _run(model, head, batch, layers, perturbation)
            return
        parts = [part_of(batch, rows) for rows in groups]
        found = [_run(model, head, part, layers, perturbation) for part, _ in parts]
        order = torch.cat([tokens for _, tokens in parts]).argsort()
        self._states = torch.cat([states for states, _ in found])[order]
        self._blocks = {k: torch.cat([each[k] for _, each in found])[order] for k in layers}

    def states(self, tokens: Tensor) -> Tensor:
        """``[N, H]`` what the head would see for these tokens."""
        return self._states[tokens]

    def logits_of(self, states: Tensor) -> Tensor:
        """``[N, H] -> [N, V]`` through the head."""
        return self._head.logits(states)

    def logps(self, tokens: Tensor, pattern: Pattern | None = None) -> Tensor:
        """``[N]`` log-probabilities of the tokens."""
        states = self._states[tokens]
        return self._head.logps(states, self._batch.target[tokens], pattern)

    def logits(self, tokens: Tensor) -> Tensor:
        """``[N, V]`` logits that predict the tokens."""
        return self.logits_of(self._states[tokens])

    def hidden(self, layer: int, tokens: Tensor) -> Tensor:
        """``[N, H]`` output of a decoder block at the tokens."""
        if layer not in self._blocks:
            raise LookupError(
                f"decoder block {layer} was not asked for: give the objective a `layers` "
                'attribute and needs = frozenset({"hidden"})'
            )
        return self._blocks[layer][tokens]

    def forward_kl(
        self,
        reference: TokenSource,
        tokens: Tensor,
        ref_tokens: Tensor,
        pattern: Pattern | None = None,
    ) -> Tensor:
        """``[N]`` KL(reference ‖ this model)."""
        states: Any = reference  # every reference of the engine has states and a head
        return self._head.forward_kl(
            self._states[tokens], states.logits_of, states.states(ref_tokens), pattern
        )

    def entropy(self, tokens: Tensor) -> Tensor:
        """``[N]`` entropy of the next-token distributions."""
        return self._head.entropy(self._states[tokens])


def stream_views(
    batch: Batch,
    policy: TokenSource,
    reference: TokenSource | None,
    expected: Expected | None = None,
) -> dict[str, StreamView]:
    """A view of each stream of the batch.

    Args:
        batch: The rows.
        policy: Its pass over ``batch``.
        reference: Its pass over ``batch.reference``, or over ``batch`` where that is None.
        expected: How the loss will weigh the tokens of each stream, where that is known.
    """
    views: dict[str, StreamView] = {}
    first = 0
    device = batch.target.device
    referred = (batch.reference or batch).streams
    for name, part in batch.streams.items():
        tokens = torch.arange(part.tokens.start, part.tokens.stop, device=device)
        refers = reference is not None and name in referred
        shift = referred[name].tokens.start - part.tokens.start if refers else 0
        view = views[name] = StreamView(
            policy,
            reference if refers else None,
            tokens=tokens,
            ref_tokens=tokens + shift if shift else tokens,
            target=batch.target[part.tokens],
            sequence=batch.sequence[part.tokens] - first,
            rows=part.rows,
            token_share=part.token_share,
            sequence_share=part.sequence_share,
            lengths=batch.lengths[first : first + len(part.rows)],
            counts=part.lengths,
        )
        for quantity, kind in (expected or {}).get(name, {}).items():
            view.patterns[quantity] = pattern(kind, view)
        first += len(part.rows)
    return views


def _run(
    model: nn.Module,
    head: Head,
    batch: Batch,
    layers: Collection[int],
    perturbation: Perturbation | None,
) -> tuple[Tensor, dict[int, Tensor]]:
    """``[N, H]`` what the head would see for each token, and outputs of decoder blocks."""
    blocks = decoder_blocks(model) if layers or perturbation is not None else None
    outputs: dict[int, Tensor] = {}
    with ExitStack() as hooks:
        if perturbation is not None and blocks is not None:
            hooks.enter_context(perturbation.added(blocks, batch))
        for layer in layers:
            assert blocks is not None
            handle = blocks[layer].register_forward_hook(_keep(outputs, layer))
            hooks.callback(handle.remove)
        forget_long_rows(model)
        states = _picked(head_inputs(model, head.module, batch), batch.source)
    return states, {k: _picked(v.flatten(0, -2), batch.place) for k, v in outputs.items()}


def _picked(states: Tensor, index: Tensor) -> Tensor:
    """``states[index]`` with a gradient that is the same each time.

    Several tokens may be predicted by one position. On a CPU of several threads the gradient of
    ``states[index]`` adds them up in any order; on a GPU that of ``index_select`` does.
    """
    return states.index_select(0, index) if states.device.type == "cpu" else states[index]


def head_inputs(model: nn.Module, head: nn.Module, batch: Batch) -> Tensor:
    """``[R * T, H]`` what the output head would see at every position of a batch."""
    with captured_states(head) as caught:
        model(use_cache=False, **_arguments(model, batch))
    states = caught[-1].flatten(0, -2)
    node: Any = states.grad_fn
    if node is not None:
        # Compiled blocks know the plan by its number; it lives as long as their backward pass.
        node.metadata["attention plan"] = batch.attention
    return states


def decoder_blocks(model: nn.Module) -> nn.ModuleList:
    """The model's decoder blocks: the first list of as many modules as its config has layers.

    Where there is none, as in a model that shares blocks, its longest list.
    """
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        raise LookupError(f"{type(model).__name__} has no list of decoder blocks")
    config: Any = getattr(model, "config", None)
    layers = config and getattr(config.get_text_config(), "num_hidden_layers", None)
    # Of a mixture of experts, the lists of experts may be longer.
    return next((each for each in lists if len(each) == layers), max(lists, key=len))


def _keep(into: dict[int, Tensor], layer: int) -> Callable[..., None]:
    def keep(_module: nn.Module, _arguments: object, output: object) -> None:
        found = output[0] if isinstance(output, tuple) else output
        assert isinstance(found, Tensor)
        into[layer] = found

    return keep


def _arguments(model: nn.Module, batch: Batch) -> dict[str, object]:
    given: dict[str, object] = {"input_ids": batch.input_ids}
    if batch.attention is None:
        # Positions are left to the model: those of RoBERTa and its like begin behind its padding.
        given["attention_mask"] = batch.attention_mask
    else:
        given["position_ids"] = batch.position_ids
        given["attention_mask"] = no_mask(batch.input_ids.device)
        given["attention_plan"] = batch.attention.registered()
    if getattr(unwrapped(model), "reads_prompts", False):
        given["prompt_lengths"] = batch.prompt_lengths
    return given
