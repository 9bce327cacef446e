import pytest
from stub import stub_tokenizer

from unlearnkit.data.tokens.chat_template import ChatTemplate, TurnError
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import RecipeError

USER = {"role": "user", "content": "ab"}
ANSWER = {"role": "assistant", "content": "c"}


def template(text, date="2025-01-01"):
    return ChatTemplate(stub_tokenizer({"chat_template": text}), date)


@pytest.mark.parametrize(
    "call",
    [
        "strftime_now('%d %b %Y')",
        'strftime_now("%d %b %Y")',
        "strftime_now( format='%d %b %Y' )",
        "date_string",
    ],
)
def test_the_date_is_pinned_however_it_is_asked_for(call):
    assert template("{{ " + call + " }}", "2024-02-29").render([USER]) == "29 Feb 2024"


def test_a_date_in_quotes_of_the_other_kind_stays_a_text():
    text = template("""{{ strftime_now("the %d'th") }}""", "2024-02-29").render([USER])
    assert text == "the 29'th"


def test_a_computed_format_cannot_be_pinned():
    with pytest.raises(RecipeError, match="computed format"):
        template("{% set f = '%Y' %}{{ strftime_now(f) }}")


def test_a_date_that_is_none_is_refused():
    with pytest.raises(RecipeError, match=r"data\.date: .*found 'today'"):
        template("{{ date_string }}", date="today")


def test_a_tokenizer_without_a_template_is_refused(letters):
    with pytest.raises(RecipeError, match="the tokenizer has no chat template"):
        Codec(letters, 8).turns()


def test_the_turn_after_the_longest_good_part_is_blamed():
    needs_two = template(
        "{% if messages|length < 2 %}{{ raise_exception('too short') }}{% endif %}"
        "{% for m in messages %}{% if m.content == 'z' %}{{ raise_exception('no z') }}{% endif %}"
        "{% endfor %}"
    )
    with pytest.raises(TurnError) as caught:
        needs_two.render([USER, ANSWER, {"role": "user", "content": "z"}, ANSWER])
    assert (caught.value.turn, caught.value.role, caught.value.words) == (3, "user", "no z")


def test_an_error_of_any_kind_in_a_template_is_the_turn_s():
    with pytest.raises(TurnError, match="turn 1"):
        template("{{ messages[0].content + 1 }}").render([USER])
