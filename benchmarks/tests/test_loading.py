"""The benchmark of loading subtracts an idle process, phase by phase."""

from __future__ import annotations

from benchmarks import loading


def test_the_most_of_each_phase_is_noted() -> None:
    held = iter([5, 7, 9, 4, 3, 8])
    watch = loading.Watch(lambda: next(held))
    watch.look()
    watch.begin("read")  # 7 is of the phase before, 9 of this one
    watch.look()
    watch.begin("end")
    assert watch.peaks == {"before": 7, "read": 9, "end": 8}


def test_a_thread_looks_meanwhile() -> None:
    held = [1]
    watch = loading.Watch(lambda: held[0])
    with watch.running():
        watch.begin("read")
        held[0] = 6
        while watch.peaks["read"] < 6:
            pass
        held[0] = 2
    assert watch.peaks == {"before": 1, "read": 6}


def test_what_is_above_an_idle_process_is_in_parts_of_one_model() -> None:
    found = loading.above({"read": 700, "end": 600}, {"read": 100, "end": 200}, size=1000, models=2)
    assert found == {"read": 0.3, "end": 0.2}
    text = loading.table(2**30, [found, {"read": 0.36, "end": 0.2}], models=2)
    assert "model of 1.00 GiB" in text
    assert "1           0.360      0.200" in text
    assert text.endswith("peak 0.360, goal 0.35")
