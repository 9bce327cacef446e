"""Classifiers of prompts and of tokens, with their own tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import (
    BaseModel,
    as_base_model,
    from_pretrained_arguments,
    load_tokenizer,
)
from unlearnkit.models.composite.encoder import own_config
from unlearnkit.models.whole import load_whole

LONGEST = 512
"""Tokens of a classifier that are read of a prompt, as published."""
OUTSIDE = "O"
"""Label of tokens that are part of nothing."""


class PromptClassifier(nn.Module):
    """How likely each prompt is one to forget, by a sequence classifier of two classes.

    Args:
        model: Gives two logits; the second is of prompts to forget.
        tokenizer: Its own.
        prompts: The tokenizer of the prompts, which are decoded for it.
        around: Text before and after each prompt that it does not see.
    """

    def __init__(
        self, model: nn.Module, tokenizer: Any, prompts: Any, around: tuple[str, str] = ("", "")
    ) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self._tokenizer, self._prompts, self._around = tokenizer, prompts, around

    @torch.no_grad()
    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """``[B, T]`` ids of prompts to ``[B]`` float32 probabilities; 0 where there is no text."""
        texts = [bare(each, *self._around) for each in texts_of(self._prompts, input_ids, mask)]
        found = torch.zeros(len(texts), device=input_ids.device)
        if some := [row for row, text in enumerate(texts) if text]:
            given = tokens_of(self._tokenizer, [texts[row] for row in some], longest(self.model))
            logits = self.model(**given.to(input_ids.device)).logits
            found[some] = logits.float().softmax(-1)[:, 1]
        return found


class TokenClassifier(nn.Module):
    """Which tokens of a prompt are part of something named, by a token classifier.

    Args:
        model: Gives logits of labels, one of which is ``O``.
        tokenizer: Its own, with offsets.
        prompts: The tokenizer of the prompts, which are decoded for it.
    """

    def __init__(self, model: Any, tokenizer: Any, prompts: Any) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self._tokenizer, self._prompts = tokenizer, prompts
        labels = {str(name): int(each) for each, name in model.config.id2label.items()}
        self._outside = labels[OUTSIDE]

    @torch.no_grad()
    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """``[B, T]`` ids of prompts to ``[B, T]``, true where a token overlaps a labelled one."""
        texts = texts_of(self._prompts, input_ids, mask)
        given = tokens_of(self._tokenizer, texts, longest(self.model), return_offsets_mapping=True)
        offsets = given.pop("offset_mapping")
        logits = self.model(**given.to(input_ids.device)).logits
        labelled = (logits.argmax(-1) != self._outside).cpu()
        found = torch.zeros_like(input_ids, dtype=torch.bool)
        for row, kept in enumerate(mask.bool()):
            # A token without width is special or padding.
            named = [
                (int(start), int(end))
                for (start, end), hit in zip(offsets[row], labelled[row], strict=True)
                if hit and end > start
            ]
            ids = input_ids[row, kept].tolist()
            hits = [
                any(start < own_end and end > own_start for start, end in named)
                for own_start, own_end in spans(self._prompts, ids)
            ]
            found[row, kept] = torch.tensor(hits, dtype=torch.bool, device=found.device)
        return found


def texts_of(tokenizer: Any, input_ids: Tensor, mask: Tensor) -> list[str]:
    """The text of each prompt, without special tokens."""
    return [
        _decoded(tokenizer, row[kept.bool()].tolist())
        for row, kept in zip(input_ids, mask, strict=True)
    ]


def spans(tokenizer: Any, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Where each token is in the text of all, by decoding what comes before it.

    Example:
        >>> from unlearnkit.models.base import load_tokenizer
        >>> tokenizer = load_tokenizer("tiny")
        >>> found = spans(tokenizer, tokenizer("a boat").input_ids)
        >>> found[0][0], found[-1][1]
        (0, 6)
    """
    ends = [len(_decoded(tokenizer, ids[: count + 1])) for count in range(len(ids))]
    return list(zip([0, *ends], ends, strict=False))


def bare(text: str, before: str, after: str) -> str:
    r"""A prompt without the text around it, where it has both ends of that.

    Example:
        >>> bare("Question: Who?\nAnswer:", "Question: ", "\nAnswer: ")
        'Who?'
    """
    text, before, after = text.strip(), before.strip(), after.strip()
    if not (text.startswith(before) and text.endswith(after)):
        return text
    return text[len(before) : len(text) - len(after)].strip() or text


def longest(model: Any) -> int:
    """Tokens of a text that a classifier reads at most."""
    config = model.config.get_text_config()
    places = getattr(config, "max_position_embeddings", None) or LONGEST
    # Of a RoBERTa places begin behind that of padding.
    first = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
    return min(LONGEST, places - first)


def tokens_of(tokenizer: Any, texts: Sequence[str], most: int = LONGEST, **more: Any) -> Any:
    """A padded batch of a classifier's ids and mask, of at most so many tokens a text."""
    most = min(most, tokenizer.model_max_length)
    given = tokenizer(
        list(texts), padding=True, truncation=True, max_length=most, return_tensors="pt", **more
    )
    # A decoder knows no types of segments, and those of one text are 0.
    given.pop("token_type_ids", None)
    return given


def load_prompt_classifier(
    base: BaseModel, prompts: Any, around: tuple[str, str] = ("", "")
) -> PromptClassifier:
    """A prompt classifier from a folder or a hub id.

    Raises:
        RecipeError: If there is none, or it has other than two classes.
    """
    refuse_other_classes(base)
    return PromptClassifier(*_load(AutoModelForSequenceClassification, base), prompts, around)


def load_token_classifier(base: BaseModel, prompts: Any) -> TokenClassifier:
    """A token classifier from a folder or a hub id.

    Raises:
        RecipeError: If there is none, it has no label ``O``, or its tokenizer no offsets.
    """
    refuse_other_labels(base)
    return TokenClassifier(*_load(AutoModelForTokenClassification, base), prompts)


def refuse_other_classes(base: BaseModel) -> None:
    """Refuses what is no classifier of texts with two classes, without its weights.

    Raises:
        RecipeError: With its architecture, or the number of its classes.
    """
    _refuse_other_task(base, "ForSequenceClassification", "a classifier of texts")
    if (found := len(_labels(base))) != 2:
        raise RecipeError(f"{base.path}: expected a classifier of two classes, found {found}")


def refuse_other_labels(base: BaseModel) -> None:
    """Refuses what is no token classifier with the label ``O`` and offsets, without its weights.

    Raises:
        RecipeError: With its labels.
    """
    _refuse_other_task(base, "ForTokenClassification", "a classifier of tokens")
    labels = _labels(base)
    if OUTSIDE not in labels:
        raise RecipeError(f"{base.path}: expected a label {OUTSIDE}, found {', '.join(labels)}")
    if not load_tokenizer(base).is_fast:
        raise RecipeError(f"{base.path}: expected a tokenizer with offsets (tokenizer.json)")


def _refuse_other_task(base: BaseModel, ending: str, what: str) -> None:
    """Heads of several tasks have one name in some families, and would be taken for each other."""
    names = list(_config(base).architectures or ())
    if names and not any(each.endswith(ending) for each in names):
        raise RecipeError(f"{base.path}: expected {what} (...{ending}), found {', '.join(names)}")


def _labels(base: BaseModel) -> list[str]:
    named: Any = _config(base).id2label
    return [str(name) for name in named.values()]


def _config(base: BaseModel) -> Any:
    return own_config(as_base_model(base))


def _load(auto: Any, base: BaseModel) -> tuple[Any, Any]:
    resolved = as_base_model(base)
    given = {"use_safetensors": True, **from_pretrained_arguments(resolved)}
    model = load_whole(auto, resolved, unread=("pooler.",), cut=True, **given)
    return model, load_tokenizer(resolved)


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(
        tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    )
