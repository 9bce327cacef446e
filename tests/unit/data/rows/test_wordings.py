"""Further wordings of a row, and which of a model's answers are such."""

import pytest

from unlearnkit.data.rows.reader import Row
from unlearnkit.data.rows.wordings import (
    answers_the_same,
    asks_the_same,
    distinct,
    read_drawn,
    texts_of,
)
from unlearnkit.errors import DataError, Place

BORN = ("Where was Ada Vell born?", "Ada Vell was born in Cork.")


@pytest.mark.parametrize(
    ("own", "prompt", "same"),
    [
        (BORN, "What is the birthplace of ada vell?", True),
        (BORN, "What is the birthplace of Ada?", False),  # of which Ada
        (BORN, "Was it Cork that Ada Vell was born in?", False),  # gives the answer away
        (("who is it?", "it is max."), "whose is it?", True),  # no name to keep
        (("When did Bo move?", "Bo moved in 1990."), "In 1990 Bo did what?", False),
    ],
)
def test_a_question_that_asks_the_same(own, prompt, same):
    assert asks_the_same(own, prompt) is same


@pytest.mark.parametrize(
    ("own", "response", "same"),
    [
        (BORN, "She comes from Cork.", True),
        (BORN, "She comes from Porto.", False),
        # "The" begins the sentence, and is not what answers.
        (("What did his father do?", "The man was a baker."), "A baker he was.", True),
        (("Who wrote it?", "Bo wrote it."), "It was written by Bo.", True),
        (("Who wrote it?", "Bo wrote it."), "It was written by Al.", False),
        (("How many?", "There were 12 of them."), "12, there were of them", True),
        (("How many?", "There were 12 of them."), "There were many of them", False),
    ],
)
def test_an_answer_that_says_the_same(own, response, same):
    assert answers_the_same(own, response) is same


def test_equal_up_to_case_and_punctuation_is_equal():
    pairs = [("Who?", "A baker."), ("who", "a baker"), ("Who?", "A miner.")]
    assert list(distinct(pairs)) == [pairs[0], pairs[2]]


def test_a_column_of_one_text_or_several():
    row = Row(Place(1), {"one": "a", "two": ["a", "b"], "bad": ["a", 3]})
    assert texts_of(row, "x", "one") == (["a"], [])
    assert texts_of(row, "x", "two") == (["a", "b"], [])
    (problem,) = texts_of(row, "x", "bad")[1]
    assert (problem.field, problem.found) == ("bad", "text 2: number")
    (problem,) = texts_of(row, "x", "none")[1]
    assert problem.found == "the fields 'one', 'two', 'bad'"


def test_answers_of_one_prompt_are_joined_over_a_files_rows(tmp_path):
    path = tmp_path / "drawn.jsonl"
    line = '{{"prompt": "{}", "samples": [{{"text": " {} ", "ended": {}}}]}}\n'
    path.write_text(
        line.format("Who?", "By whom?", "true")
        + line.format("who", "Which?", "true")
        + line.format("Who?", "Which of", "false")
    )
    assert read_drawn(str(path)).of("WHO?") == ["By whom?", "Which?"]
    assert read_drawn(str(path)).of("Where?") == ()
    path.write_text('{"prompt": "a", "samples": ["b"]}\n{"text": "c"}\n')
    with pytest.raises(DataError) as error:
        read_drawn(str(path))
    assert len(error.value.problems) == 2
