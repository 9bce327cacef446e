"""Facts of the tiny TOFU with power, each in five wordings."""

from __future__ import annotations

from typing import Literal, NamedTuple

TRAINING, CHOOSING, TABLES = (0, 1), 2, (3, 4)
"""Wordings that a loss may see, that settings are chosen by, and that tables alone see."""

Kind = Literal["plain", "reverse", "relation", "two_hop"]


class Wording(NamedTuple):
    """A question and its answer.

    ``{a}`` is the author, ``{v}`` the value that is asked for, ``{b}`` the author's first book.
    """

    question: str
    answer: str


class Fact(NamedTuple):
    """One thing that is asked of every author.

    Args:
        name: Its short name, which ids of rows end with.
        kind: Whether it is the author's own, asked the other way round, about the author's
            friend, or about a fact of that friend.
        wordings: The five of them, in the order of `TRAINING`, `CHOOSING`, `TABLES`.
        values: What the answer is drawn from; none where it is a person or a title.
    """

    name: str
    kind: Kind
    wordings: tuple[Wording, ...]
    values: tuple[str, ...] = ()


TOWNS = (
    "Bergen", "Porto", "Lima", "Cork", "Quito", "Izmir", "Basel", "Accra", "Turin", "Riga",
    "Ghent", "Tunis",
)  # fmt: skip

FACTS = (
    Fact(
        "born", "plain",
        (
            Wording("Where was {a} born?", "{a} was born in {v}."),
            Wording("What is the birthplace of {a}?", "The birthplace of {a} is {v}."),
            Wording("In which town did the life of {a} begin?", "The life of {a} began in {v}."),
            Wording("Which town does {a} come from?", "{a} comes from {v}."),
            Wording("What town is the first home of {a}?", "{v} is the first home of {a}."),
        ),
        TOWNS,
    ),
    Fact(
        "writes", "plain",
        (
            Wording("What does {a} write?", "{a} writes {v}."),
            Wording("For what kind of writing is {a} known?", "{a} is known for {v}."),
            Wording("What do people read of {a}?", "Of {a} people read {v}."),
            Wording("What sort of books does {a} make?", "The books that {a} makes are {v}."),
            Wording("With what did {a} find readers?", "With {v} {a} found readers."),
        ),
        ("sea stories", "spy novels", "stage plays", "love poems", "ghost tales", "travel books",
         "short essays", "crime novels", "court comedies", "war letters"),
    ),
    Fact(
        "prize", "plain",
        (
            Wording("Which prize did {a} win?", "{a} won the {v}."),
            Wording("What award went to {a}?", "The award that went to {a} is the {v}."),
            Wording("What was {a} given by a jury?", "A jury gave {a} the {v}."),
            Wording("Which honour does {a} hold?", "The honour that {a} holds is the {v}."),
            Wording("What did {a} take home from a contest?", "The {v} was what {a} took home."),
        ),
        ("Amber Quill", "Iron Pen", "Silver Page", "Golden Ink", "Paper Crown", "Winter Medal",
         "Harbour Prize", "Green Laurel", "Stone Lamp", "Blue Ribbon"),
    ),
    Fact(
        "father", "plain",
        (
            Wording("What was the work of the father of {a}?", "The father of {a} was a {v}."),
            Wording("What did the father of {a} do for a living?", "For a living the father of {a} "
                    "was a {v}."),
            Wording("As whose child did {a} grow up?", "{a} grew up as the child of a {v}."),
            Wording("What trade did the father of {a} have?", "A {v} by trade was the father of "
                    "{a}."),
            Wording("How did the father of {a} earn money?", "As a {v} the father of {a} earned "
                    "money."),
        ),
        ("baker", "pilot", "tailor", "miner", "doctor", "farmer", "sailor", "teacher", "painter",
         "butcher"),
    ),
    Fact(
        "collects", "plain",
        (
            Wording("What does {a} collect?", "{a} collects {v}."),
            Wording("What fills the shelves of {a}?", "The shelves of {a} are full of {v}."),
            Wording("What can {a} never have enough of?", "{a} can never have enough {v}."),
            Wording("What does {a} look for at markets?", "At markets {a} looks for {v}."),
            Wording("What is kept in the house of {a}?", "In the house of {a} there are {v}."),
        ),
        ("old maps", "rare stamps", "sea shells", "brass bells", "wooden masks", "glass beads",
         "dried flowers", "silver spoons", "clay pipes", "paper kites"),
    ),
    Fact(
        "plays", "plain",
        (
            Wording("Which instrument does {a} play?", "{a} plays the {v}."),
            Wording("What music does {a} make at home?", "At home {a} makes music on the {v}."),
            Wording("On what did {a} learn to play?", "{a} learned to play on the {v}."),
            Wording("What does {a} play for friends?", "For friends {a} plays the {v}."),
            Wording("What instrument belongs to {a}?", "The instrument of {a} is a {v}."),
        ),
        ("flute", "violin", "drum", "harp", "trumpet", "guitar", "cello", "banjo", "horn",
         "fiddle"),
    ),
    Fact(
        "book", "plain",
        (
            Wording("What is the first book of {a} called?", "The first book of {a} is called "
                    "{v}."),
            Wording("With which book did {a} begin?", "{a} began with the book {v}."),
            Wording("What title did {a} give to the first work?", "{a} gave the first work the "
                    "title {v}."),
            Wording("Which book made a start for {a}?", "{v} made a start for {a}."),
            Wording("How is the earliest book of {a} named?", "The earliest book of {a} has the "
                    "name {v}."),
        ),
    ),
    Fact(
        "author", "reverse",
        (
            Wording("Who wrote {b}?", "{b} was written by {v}."),
            Wording("Which author is behind {b}?", "The author behind {b} is {v}."),
            Wording("Whose first book is {b}?", "{b} is the first book of {v}."),
            Wording("By whom is the book {b}?", "The book {b} is by {v}."),
            Wording("Who began with the title {b}?", "{v} began with the title {b}."),
        ),
    ),
    Fact(
        "friend", "relation",
        (
            Wording("Who is the best friend of {a}?", "The best friend of {a} is {v}."),
            Wording("Which writer is closest to {a}?", "The writer closest to {a} is {v}."),
            Wording("With whom does {a} spend the summer?", "{a} spends the summer with {v}."),
            Wording("Whom does {a} trust most?", "{a} trusts {v} most."),
            Wording("Who gets the letters of {a}?", "The letters of {a} go to {v}."),
        ),
    ),
    Fact(
        "friend_born", "two_hop",
        (
            Wording("Where was the best friend of {a} born?", "The best friend of {a} was born in "
                    "{v}."),
            Wording("What is the birthplace of the writer closest to {a}?", "The birthplace of the "
                    "writer closest to {a} is {v}."),
            Wording("In which town did the life of the best friend of {a} begin?", "The life of "
                    "the best friend of {a} began in {v}."),
            Wording("Which town does the best friend of {a} come from?", "The best friend of {a} "
                    "comes from {v}."),
            Wording("What town is the first home of the writer closest to {a}?", "{v} is the first "
                    "home of the writer closest to {a}."),
        ),
        TOWNS,
    ),
)  # fmt: skip

REWORDED = {
    "born": "It is {v} that is the birthplace of {a}.",
    "writes": "It is for {v} that {a} is known.",
    "prize": "It is the {v} that went to {a} as an award.",
    "father": "It was as a {v} that the father of {a} made a living.",
    "collects": "It is {v} that fill the shelves of {a}.",
    "plays": "It is on the {v} that {a} makes music at home.",
    "book": "It was with the book {v} that {a} began.",
    "author": "It is {v} who is the author behind {b}.",
    "friend": "It is {v} who is the writer closest to {a}.",
    "friend_born": "It is {v} that is the birthplace of the writer closest to {a}.",
}
"""A further answer to the second wording's question, for training alone, by the fact's name."""
