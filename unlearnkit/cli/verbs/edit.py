"""The verb ``edit``: models made of models. The work is imported where it is done."""

from __future__ import annotations

import inspect

from unlearnkit.cli import console
from unlearnkit.cli.imports import without_collection
from unlearnkit.cli.redirecting import lunar
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import UserError
from unlearnkit.registry import did_you_mean


def negate(
    base: str,
    tuned: list[str],
    out: str,
    scale: float = 1.0,
    method: str = "linear",
    density: float = 1.0,
    seed: int = 0,
) -> None:
    """Subtract what a model learned: base - scale * (tuned - base).

    Tensor by tensor from safetensors to safetensors, so large models need little memory.

    Args:
        base: The model that training began with: run folder, model or adapter folder, hub id, or
            an embedded model such as tiny.
        tuned: The model that learned what is to be forgotten; several may be given.
        out: Folder to write; it must not exist.
        scale: Factor of the difference.
        method: How differences are merged: linear, magnitude_prune, ties, dare_linear, dare_ties.
        density: Part of the entries that methods other than linear keep.
        seed: Of the entries that DARE drops.
    """
    _add(base, tuned, out, -scale, method, density, seed)


def add(
    base: str,
    tuned: list[str],
    out: str,
    scale: float = 1.0,
    method: str = "linear",
    density: float = 1.0,
    seed: int = 0,
) -> None:
    """Add what models learned: base + scale * (tuned - base).

    Tensor by tensor from safetensors to safetensors, so large models need little memory.

    Args:
        base: The model that training began with: run folder, model or adapter folder, hub id, or
            an embedded model such as tiny.
        tuned: The model that learned something; several may be given.
        out: Folder to write; it must not exist.
        scale: Factor of the difference.
        method: How differences are merged: linear, magnitude_prune, ties, dare_linear, dare_ties.
        density: Part of the entries that methods other than linear keep.
        seed: Of the entries that DARE drops.
    """
    _add(base, tuned, out, scale, method, density, seed)


def offset(base: str, small_tuned: str, small: str, out: str, alpha: float = 1.0) -> None:
    """Add a small model's change to a large one's logits: base + alpha * (small_tuned - small).

    Args:
        base: The large model, left as it is. It is pointed at, and must stay where it is.
        small_tuned: The small model after unlearning; it is copied.
        small: The small model before, pointed at.
        out: Folder to write; it must not exist.
        alpha: Factor of the difference.
    """
    _wrap("offset_model", base, small_tuned, small, out, alpha=alpha)


def uld(
    base: str, assistant: str, out: str, weight: float = -0.8, relative_top: float = 0.01
) -> None:
    """Take away the logits of an assistant that knows only the forget set (ULD).

    Args:
        base: The model, left as it is. It is pointed at, and must stay where it is.
        assistant: What recipe edits/uld_assistant trained; it is copied.
        out: Folder to write; it must not exist.
        weight: Factor of the assistant's logits.
        relative_top: Tokens below this part of the base's largest probability are left alone.
    """
    _wrap("uld_model", base, assistant, out, weight=weight, relative_top=relative_top)


def whp(base: str, reinforced: str, out: str, alpha: float = 1.0) -> None:
    """Lower what further training raises: base - alpha * relu(reinforced - base).

    Args:
        base: The model, left as it is. It is pointed at, and must stay where it is.
        reinforced: The model trained further on the forget set, pointed at too.
        out: Folder to write; it must not exist.
        alpha: Factor of the raise.
    """
    _wrap("whp_model", base, reinforced, out, alpha=alpha)


def o3(
    base: str,
    adapter: list[str],
    out: str,
    score: str = "cosine",
    encoder: str | None = None,
    layers: int | None = None,
    gate: str = "soft",
    threshold: float = 0.5,
    nu: float = 0.1,
) -> None:
    """Switch a request's adapter on where a prompt is about the request (O3).

    Detectors are fitted on the forget prompts of each run; gate.json in the folder has what they
    make of them.

    Args:
        base: The model that the adapters were trained on. It is pointed at, and must stay where
            it is.
        adapter: Run folder of a request's LoRA adapter; several may be given, in their order.
        out: Folder to write; it must not exist.
        score: How a hidden state is scored: cosine, mahalanobis, or o3 (as published).
        encoder: Folder or hub id of a transformers encoder, such as one for sentences, that is
            to look at prompts in place of the base; it is pointed at.
        layers: Hidden states that are scored, the embedding first; by default one of the base, and
            all of an encoder.
        gate: soft (an adapter counts with the gate's weight) or hard (wholly).
        threshold: A prompt whose weights are all below it gets the base alone.
        nu: Share of its prompts that a request's one-class SVM may leave outside.
    """
    from unlearnkit.cli.gating import gate_model

    made = gate_model(
        base, adapter, out, score=score, encoder=encoder, layers=layers, gate=gate,
        threshold=threshold, nu=nu,
    )  # fmt: skip
    console.out().print(str(made), markup=False, soft_wrap=True)


def erase(
    base: str,
    examples: str,
    out: str,
    k: int = 4,
    epsilon: float = 1.0,
    steps: int = 10,
    seed: int = 0,
    prompt_field: str = "prompt",
    response_field: str = "response",
    template: str = "{prompt}",
    separator: str = "\n\n",
    encoder: str | None = None,
) -> None:
    """Put chosen rows before every prompt, so that any row can be deleted exactly (ERASE).

    For a model that was not trained on the rows: it learns from them in context alone.

    Args:
        base: The model that reads the rows, left as it is. It is pointed at, and must stay where
            it is.
        examples: File of rows, or the id of a data set, as of a stream qa.
        out: Folder to write; it must not exist.
        k: Rows to choose, by quantised k-means.
        epsilon: Width of the lattice of centroids, for embeddings of length 1: the wider, the more
            deletions cost next to nothing.
        steps: Of k-means.
        seed: Of the first centroids and the lattice.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as of a stream qa.
        separator: Text after each row.
        encoder: Folder or hub id of a transformers encoder that is to embed the rows; by default
            the base's token embeddings do.
    """
    from unlearnkit.cli.erasing import make

    rows = (prompt_field, response_field, template)
    options = {"k": k, "epsilon": epsilon, "steps": steps, "seed": seed}
    made = make(base, examples, rows, out, separator=separator, encoder=encoder, **options)
    console.out().print(str(made), markup=False, soft_wrap=True)


def delete(
    model: str,
    forget: str,
    out: str,
    prompt_field: str = "prompt",
    response_field: str = "response",
    template: str = "{prompt}",
) -> None:
    """Delete rows from a model that edit erase made, exactly.

    What is written equals what edit erase would have written without those rows. The old folder
    still has them: it is yours to remove.

    Args:
        model: Folder that edit erase, or this edit, made.
        forget: File of the rows to delete; every copy of them goes.
        out: Folder to write; it must not exist.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as it was given to edit erase.
    """
    from unlearnkit.cli.erasing import take_out

    said = take_out(model, forget, (prompt_field, response_field, template), out)
    console.err().print(said, markup=False, soft_wrap=True)
    console.out().print(out, markup=False, soft_wrap=True)


EDITS = {
    "negate": negate,
    "add": add,
    "offset": offset,
    "uld": uld,
    "whp": whp,
    "lunar": lunar,
    "o3": o3,
    "erase": erase,
    "delete": delete,
}


def edit_command(argv: list[str]) -> None:
    """Makes a model of others."""
    if not argv or argv[0] in ("-h", "--help"):
        lines = {
            name: (inspect.getdoc(each) or "").partition("\n")[0] for name, each in EDITS.items()
        }
        console.out().print(
            "usage: unlearnkit edit EDIT [OPTIONS]      unlearnkit edit EDIT --help\n"
        )
        console.show_list([(name, line, "") for name, line in lines.items()])
        return
    name, rest = argv[0], argv[1:]
    if name not in EDITS:
        raise UserError(
            f"there is no edit '{name}'.{did_you_mean(name, list(EDITS))}",
            title="usage",
            hint=f"Edits: {', '.join(EDITS)}.",
        )
    # A list grows by --tuned+ and the like, and people write the option once for each model.
    call(EDITS[name], [_appending(word) for word in rest], f"edit {name}", positional=False)


def _wrap(maker: str, *arguments: str, **options: float) -> None:
    with without_collection():
        from unlearnkit.cli.quiet import quieten

        quieten()
        from unlearnkit import edits

    made = getattr(edits, maker)(*arguments, **options)
    console.out().print(str(made), markup=False, soft_wrap=True)


def _add(
    base: str, tuned: list[str], out: str, scale: float, method: str, density: float, seed: int
) -> None:
    with without_collection():
        from unlearnkit.cli.quiet import quieten

        quieten()
        from unlearnkit.edits import add_task_vectors

    made = add_task_vectors(base, tuned, scale, out, method=method, density=density, seed=seed)
    console.out().print(str(made), markup=False, soft_wrap=True)


def _appending(word: str) -> str:
    option = word.partition("=")[0]
    return f"{option}+{word[len(option) :]}" if option in ("--tuned", "--adapter") else word
