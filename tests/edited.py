"""Edits written in one call."""

from __future__ import annotations

from unlearnkit.edits import (
    O3,
    Add,
    Delete,
    Eco,
    Erase,
    InContextUnlearning,
    Lunar,
    OffsetLogits,
    Ucd,
    Uld,
    Whp,
)


def add_task_vectors(base, tuned, scale, out, *, shard_bytes=2**30, **options):
    return Add(base, tuned, scale, **options).write(out, shard_bytes)


def offset_model(base, small_tuned, small, out, **options):
    return OffsetLogits(base, small_tuned, small, **options).write(out)


def ucd_model(base, without, trained, out, **options):
    return Ucd(base, without, trained, **options).write(out)


def uld_model(base, assistant, out, **options):
    return Uld(base, assistant, **options).write(out)


def whp_model(base, reinforced, out, **options):
    return Whp(base, reinforced, **options).write(out)


def o3_model(base, adapters, prompts, out, **options):
    return O3(base, adapters, prompts=prompts, **options).write(out)


def erase_model(base, examples, out, **options):
    return Erase(base, examples, **options).write(out)


def icul_model(base, forget, retain, out, **options):
    return InContextUnlearning(base, forget, retain, **options).write(out)


def eco_model(base, forget, retain, out, **options):
    return Eco(base, forget, retain, **options).write(out)


def delete_examples(model, gone, out):
    edit = Delete(str(model), gone)
    edit.write(out)
    return edit.deletions


def lunar_model(base, forget, retain, refused, out, **options):
    return Lunar(base, forget, retain, refused, **options).write(out)
