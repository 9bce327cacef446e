"""``unlearnkit generate``: continues a prompt with one or two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.arguments import refuse_idle
from unlearnkit.cli import console
from unlearnkit.cli.models import side_by_side
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import UserError
from unlearnkit.families import at

if TYPE_CHECKING:
    from unlearnkit.models.base import BaseModel

HELP = "Continue a prompt with a run's model, and with the one it came from."


def command(argv: list[str]) -> None:
    """Continues the prompt that the words hold."""
    call(generate, argv, "generate")


def generate(
    run: str,
    prompt: str,
    against: str | None = None,
    max_new_tokens: int = 64,
    chat: bool | None = None,
    template: str | None = None,
    template_arguments: dict[str, Any] | None = None,
) -> None:
    """Continue a prompt with a run's model, and with another one beside it.

    Args:
        run: Run folder, or any model that a recipe's model.base can name.
        prompt: Text to continue.
        against: ``base`` for the model that the run started from; or another run or model.
        max_new_tokens: Longest continuation, in tokens.
        chat: Put the prompt through the model's chat template; by default if the rows to forget of
            the run, or of the one it is held against, were turns of a chat.
        template: Name of the chat template, of a model that has several; by default the run's.
        template_arguments: Values for the chat template, such as '{enable_thinking: false}'; by
            default the run's.
    """
    said = continuations(run, prompt, against, max_new_tokens, chat, template, template_arguments)
    console.show_generations(said)


def continuations(
    run: str,
    prompt: str,
    against: str | None,
    max_new_tokens: int,
    chat: bool | None = None,
    template: str | None = None,
    template_arguments: Mapping[str, Any] | None = None,
) -> list[tuple[str, str]]:
    """Greedy continuations of a prompt.

    Args:
        run: Run folder, or any model that a recipe's ``model.base`` can name.
        prompt: Text to continue.
        against: ``base`` for the model that the run started from, another run or model, or None.
        max_new_tokens: Longest continuation, in tokens.
        chat: Put the prompt through the chat template; None as the run's rows to forget went.
        template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template.

    Returns:
        Name and text, of ``against`` first.

    Raises:
        UserError: If there is no such run, or the prompt is empty.
    """
    if not prompt:
        raise UserError("the prompt is empty.", hint='unlearnkit generate RUN "Once upon"')
    if max_new_tokens < 1:
        raise UserError(f"--max_new_tokens: expected at least 1, found {max_new_tokens}")
    with heavy_imports():
        models = side_by_side(run, against)
    if chat is None:
        taught = _turns_of([run, against], models)
        if taught is None:
            _warn_of_bare_prompt(models)
        else:
            chat, template = True, template or taught.get("template")
            template_arguments = template_arguments or taught.get("template_arguments")
    if not chat:
        asked = {"template": template, "template_arguments": template_arguments}
        refuse_idle({name: "without --chat" for name, each in asked.items() if each})
    ids = [_asked(model, prompt, bool(chat), template, template_arguments) for _, model in models]
    return [
        (name, _continue(model, asked, max_new_tokens))
        for (name, model), asked in zip(models, ids, strict=True)
    ]


def _asked(
    base: str | BaseModel,
    prompt: str,
    chat: bool,
    template: str | None,
    arguments: Mapping[str, Any] | None,
) -> list[int]:
    """The prompt in tokens; known of every model before one is loaded."""
    from unlearnkit.data.tokens.chat_template import TurnError
    from unlearnkit.data.tokens.codec import Codec
    from unlearnkit.data.tokens.control import Rendered
    from unlearnkit.models.base import load_tokenizer

    codec = Codec(load_tokenizer(base), max_length=max(len(prompt), 2))
    if not chat:
        # Who types a control token at the prompt means it.
        return codec.prompt(Rendered(prompt))
    asked = [{"role": "user", "content": prompt}]
    try:
        return codec.prompt(codec.turns(template, arguments).prompt(asked))
    except TurnError as error:
        raise UserError(str(error)) from error


def _warn_of_bare_prompt(models: Sequence[tuple[str, str | BaseModel]]) -> None:
    """Says once, however many models are asked, that they were made for turns."""
    from unlearnkit.models.base import load_tokenizer

    bases = {str(getattr(base, "path", base)): base for _, base in models}
    wanting = [name for name, base in bases.items() if wants_template(load_tokenizer(base))]
    if wanting:
        has = "has a chat template" if len(wanting) == 1 else "have a chat template each"
        console.warn(
            f"{' and '.join(wanting)} {has} whose turns begin with control tokens, "
            "and the prompt is given bare; --chat puts it through the template."
        )


def _turns_of(
    runs: Sequence[str | None], models: Sequence[tuple[str, str | BaseModel]]
) -> Mapping[str, Any] | None:
    """The chat stream of the first run whose rows to forget are turns; a note says so.

    None where one of the models has no chat template.
    """
    from yaml import YAMLError

    from unlearnkit.models.base import load_tokenizer
    from unlearnkit.plain import load_yaml

    for run in filter(None, runs):
        try:
            recipe = load_yaml((Path(run) / "recipe.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, YAMLError):
            continue  # no run; or one whose model answers all the same
        stream = at(recipe, ("data", "streams", "forget"))
        if not isinstance(stream, Mapping) or stream.get("name") != "chat":
            continue
        if not all(load_tokenizer(model).chat_template for _, model in models):
            return None
        console.warn(
            f"the prompt goes through the chat template, as the rows of {run} did; "
            "--chat false gives it bare.",
            "note",
        )
        return stream
    return None


def wants_template(tokenizer: Any) -> bool:
    """Whether turns of its chat template are told apart by control tokens, as of a chat model.

    A template of plain words, such as ``Question: ...``, is one that a base model may have.
    """
    from unlearnkit.data.tokens.control import control_of

    templates = tokenizer.chat_template
    texts = templates.values() if isinstance(templates, dict) else [templates or ""]
    of_any_text = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token}
    control = control_of(tokenizer)
    return any(mark not in of_any_text for text in texts for mark in control.found(text))


def _continue(base: str | BaseModel, ids: list[int], max_new_tokens: int) -> str:
    from unlearnkit.engine.generation.generate import generate as continued
    from unlearnkit.engine.generation.sampling import on_device
    from unlearnkit.models.base import load_tokenizer
    from unlearnkit.models.load import load_model

    tokenizer, model = load_tokenizer(base), on_device(load_model(base))
    return continued(model, tokenizer, [ids], max_new_tokens=max_new_tokens)[0].text
