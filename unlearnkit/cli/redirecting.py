"""``unlearnkit edit lunar``: rows are read as those of a stream ``qa``."""

from __future__ import annotations

from unlearnkit.cli import console
from unlearnkit.cli.edit_rows import read_rows
from unlearnkit.cli.imports import without_collection


def lunar(
    base: str,
    forget: str,
    retain: str,
    refuse: str,
    layer: int,
    out: str,
    coefficient: float = 2.0,
    retain_weight: float = 1.0,
    ridge: float = 0.0,
    responses: bool = False,
    module: str = "mlp.down_proj",
    prompt_field: str = "prompt",
    response_field: str = "response",
    template: str = "{prompt}",
) -> None:
    """Redirect one layer's activations to those of prompts that the model refuses (LUNAR).

    The change of one weight, in closed form; what is written is an ordinary model.

    Args:
        base: Run folder, model or adapter folder, hub id, or an embedded model such as tiny.
        forget: File of the rows to be redirected, or the id of a data set, as of a stream qa.
        retain: File of the rows that are to stay as they are, with the same columns.
        refuse: File of rows whose prompts the model declines, or knows nothing about.
        layer: Decoder block, from 0; the authors take block 22 of 32.
        out: Folder to write; it must not exist.
        coefficient: Factor of the direction from forget prompts to those.
        retain_weight: Weight of a retain token against a forget token.
        ridge: Penalty of the change, as a part of the mean square of the layer's inputs.
        responses: Count the tokens that predict the responses too, not those of the prompts alone.
        module: Linear layer of the block that is changed.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as of a stream qa.
    """
    with without_collection():
        from unlearnkit.cli.quiet import quieten

        quieten()
        from unlearnkit.edits import lunar_model

    columns = (prompt_field, response_field, template)
    going, kept, refused = (read_rows(base, file, columns) for file in (forget, retain, refuse))
    made = lunar_model(
        base, going, kept, refused, out, layer=layer, coefficient=coefficient,
        retain_weight=retain_weight, ridge=ridge, responses=responses, module=module,
    )  # fmt: skip
    console.out().print(str(made), markup=False, soft_wrap=True)
