"""How stored values of generated text, and of memorisation, are computed."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from golden_adapters import OPEN, SCORE, adapter, agg_and_items, result
from golden_metrics import World

from unlearnkit.functional import membership, text
from unlearnkit.metrics import (
    Bleu,
    ExactMemorization,
    ExtractionStrength,
    KnowledgeMemorization,
    LeakRate,
    Perplexity,
    Rouge,
    VerbatimMemorization,
)

KNOWMEM_STOP = ("\n\n", "\nQuestion", "Question:")


@adapter("rouge_tofu", "rouge_muse")
def rouge_pair(world: World) -> Any:
    pair = world.given()
    stemmed = world.case.metric == "rouge_tofu"
    return {
        f"{kind}_{figure}": result(
            Rouge(kind, figure, use_stemmer=stemmed, compat="rouge-score"),
            [pair["prediction"]],
            [pair["reference"]],
        )
        for kind in ("rouge1", "rougeL")
        for figure in ("recall", "f1")
    }


@adapter("rouge_generation_open_unlearning")
def rouge_generation(world: World) -> Any:
    return tofu_rouge(
        world, world.section(), world.params["max_new_tokens"], world.params["rouge_type"]
    )


def tofu_rouge(
    world: World, section: str, limit: int, which: str = "rougeL_recall"
) -> dict[str, Any]:
    """Greedy answers against the true ones, stemmed."""
    rows = world.data[section]
    texts = [g.text for g in world.continuations([row["prompt_ids"] for row in rows], limit)]
    true = [world.decode(row["answer_ids"]) for row in rows]
    items = [
        {
            "rouge1_recall": text.rouge(*pair, "rouge1", use_stemmer=True, compat=SCORE).recall,
            "rougeL_f1": text.rouge(*pair, "rougeL", use_stemmer=True, compat=SCORE).f1,
            "rougeL_recall": text.rouge(*pair, "rougeL", use_stemmer=True, compat=SCORE).recall,
            "input": world.decode(row["prompt_ids"]),
            "ground_truth": pair[1],
            "generation": pair[0],
        }
        for row, *pair in zip(rows, texts, true, strict=True)
    ]
    kind, figure = which.split("_")
    return {
        "agg": result(Rouge(kind, figure, use_stemmer=True, compat=SCORE), texts, true),
        "items": items,
    }


@adapter("bleu_sacrebleu")
def bleu(world: World) -> Any:
    pair = world.given()
    return result(Bleu(), [pair["prediction"]], [pair["reference"]])


@adapter("copyright_mean_bleu", "copyright_leak_rate")
def copyright_bleu(world: World) -> Any:
    pairs = world.given()
    metric = LeakRate(world.params["tau"]) if "tau" in world.params else Bleu()
    return result(metric, [p["prediction"] for p in pairs], [p["reference"] for p in pairs])


@adapter("muse_verbmem")
def verbatim_memorization(world: World) -> Any:
    rows, limit = world.given(), world.params["max_new_tokens"]
    prompts = world.tokenizer([row["prompt"] for row in rows]).input_ids
    # The reference counts the BOS of the true text among its tokens when it cuts it.
    true = [world.decode(world.tokenizer(row["gt"]).input_ids[:limit]) for row in rows]
    texts = [g.text for g in world.continuations(prompts, limit)]
    return muse_report(VerbatimMemorization(compat=SCORE), texts, true)


@adapter("muse_knowmem")
def knowledge_memorization(world: World) -> Any:
    questions, shots = (world.given(pointer) for pointer in world.pointers())
    head = "".join(f"Question: {s['question']}\nAnswer: {s['answer']}\n\n" for s in shots)
    prompts = [f"{head}Question: {row['question']}\nAnswer: " for row in questions]
    generations = world.continuations(
        world.tokenizer(prompts).input_ids, world.params["max_new_tokens"], KNOWMEM_STOP
    )
    texts = [g.text for g in generations]
    return muse_report(
        KnowledgeMemorization(compat=SCORE), texts, [row["answer"] for row in questions]
    )


def muse_report(metric: Rouge, texts: list[str], true: list[str]) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for generated, reference in zip(texts, true, strict=True):
        item: dict[str, Any] = {"gt": reference, "response": generated}
        for kind in ("rougeL", "rouge1"):
            scores = text.rouge(generated, reference, kind, compat=SCORE)
            item |= {kind: scores.f1, f"{kind}_recall": scores.recall}
        items.append(item)
    agg = {
        f"{name}_{key}": of(item[key] for item in items)
        for key in ("rougeL", "rougeL_recall", "rouge1", "rouge1_recall")
        for name, of in (("max", max), ("mean", fmean))
    }
    return {"agg": agg | {"mean_rougeL": result(metric, texts, true)}, "items": items}


@adapter("perplexity")
def perplexity(world: World) -> Any:
    found = world.scores(world.texts(world.given()))
    flat = (found.logps, found.sequence, found.sequences)
    return {
        "corpus": result(Perplexity(), *flat),
        "items": membership.loss(*flat).exp().tolist(),
    }


@adapter("exact_memorization", "extraction_strength")
def memorization(world: World) -> Any:
    found = world.scores(world.answers(world.given(), "continuation_ids"))
    kind = ExactMemorization if world.case.metric == "exact_memorization" else ExtractionStrength
    return agg_and_items(kind(compat=OPEN), found.correct, found.sequence, found.sequences)
