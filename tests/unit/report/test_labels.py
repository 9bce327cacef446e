from __future__ import annotations

from rounding import near

from unlearnkit.report.labels import BESIDE, HEIGHT, WIDTH, Box, Wanted, lifts


def test_boxes_that_only_touch_do_not_meet():
    box = Box(0, 10, 0, 10)
    assert box.meets(Box(9, 20, 9, 20))
    assert not box.meets(Box(10, 20, 0, 10))
    assert not box.meets(Box(0, 10, 10, 20))


def test_a_label_stands_on_the_side_that_has_room():
    # Five letters of 7 pixels, 12 from the middle of the mark.
    left, right, bottom, top = Wanted(0.25, 0.5, "0.041").box(16)
    assert (left, right) == near((0.25 * WIDTH + BESIDE, 0.25 * WIDTH + BESIDE + 35))
    assert (bottom, top) == near((0.5 * HEIGHT + 9, 0.5 * HEIGHT + 23))
    assert Wanted(0.75, 0.5, "0.041").box(0)[:2] == near(
        (0.75 * WIDTH - BESIDE - 35, 0.75 * WIDTH - BESIDE)
    )


def test_labels_at_one_place_stand_above_each_other_and_below_at_the_top():
    same = [Wanted(0.1, 0.1, "0.041")] * 3
    assert lifts(same, []) == [0, 16, 32]
    assert lifts([each._replace(y=0.9) for each in same], []) == [0, -16, -32]
    # Apart, each stands beside its mark.
    assert lifts([Wanted(0.1, 0.1, "0.041"), Wanted(0.5, 0.1, "0.041")], []) == [0, 0]


def test_a_mark_in_the_way_is_passed():
    label = Wanted(0.1, 0.4, "0.041")
    # 20 pixels to the right of it.
    assert lifts([label], [(0.1 + 20 / WIDTH, 0.4)]) == [16]
    assert lifts([label], [(0.1 - 20 / WIDTH, 0.4)]) == [0]


def test_what_has_no_place_is_left_out():
    # Of 240 pixels 112 above and 112 below the middle are within the frame: fifteen lines of 16.
    found = lifts([Wanted(0.1, 0.5, "0.041")] * 20, [])
    placed = [lift for lift in found if lift is not None]
    assert sorted(placed) == list(range(-112, 113, 16))
    assert found[15:] == [None] * 5
