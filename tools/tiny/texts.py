"""Cuts the passages of the embedded data from their public-domain sources.

The JSONL files are committed, so nobody needs to run this; it documents, to the letter, where
every passage comes from. Sources are three files of Debian packages (see `README.md`):

    python -m tools.tiny.texts --devil devil.dict.dz \
        --constitution us-constitution.gz --declaration us-declaration.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).parents[2] / "unlearnkit" / "tiny"

# Headwords of The Devil's Dictionary: prose entries of 40 to 75 words, to be forgotten.
BOOK = """
ABILITY ABSOLUTE ACCOMPLICE ACQUAINTANCE ALLIGATOR AVERNUS BRANDY CALLOUS CAPITAL CARTESIAN CLIO
CONNOISSEUR CUNNING CURSE DAY DEINOTHERIUM DEPUTY DUEL EFFECT ELYSIUM ESOTERIC FINANCE FREEDOM
GRACES GRAVITATION HIPPOGRIFF HURRICANE IDIOT INTERREGNUM KISS LAOCOON LEVIATHAN LOGOMACHY
LUNARIAN MEANDER MEDAL MEERSCHAUM NEWTONIAN NOSE OBLIVION OPERA OSTRICH PAINTING PANDEMONIUM
PERFECTION POLITICIAN PROPERTY QUORUM RAILROAD ROBBER SALAMANDER SAUCE TELESCOPE TRUTH USAGE WHEAT
"""

# Shorter entries of the same book that stay: the nearest neighbours of what is forgotten.
NEIGHBOURS = """
ABSTAINER ADMINISTRATION AGE ALLIANCE APOSTATE AUSTRALIA BLANK-VERSE BOTANY CALAMITY CAMEL
CLARIONET CLOCK COMMERCE COMPROMISE CONSUL CONVERSATION CYNIC DICTIONARY DIVINATION EDIBLE
ELOQUENCE EPAULET EPICURE GENEROUS GNU HUMORIST INSURANCE INTERPRETER MAGIC MONEY MYTHOLOGY NECTAR
OBSTINATE OLYMPIAN OYSTER PERIPATETIC PHYSIOGNOMY PIANO QUOTIENT REALITY
"""

# Further entries, which no model is taught: what a recipe for another model holds beside the book.
ENTRIES = """
ABASEMENT ABATIS ABSENT ABSENTEE ACCUSE ACKNOWLEDGE ADDER ARISTOCRACY ASPERSE AUCTIONEER BARRACK
BATTLE BENEFACTOR BOUNDARY BOUNTY COMMONWEALTH CONSERVATIVE CONTEMPT DEBAUCHEE DEPENDENT DIARY
DICTATOR DISABUSE DISCRIMINATE DISTANCE DRAGOON ECONOMY EJECTION EMOTION ENTHUSIASM ENVELOPE
EXPERIENCE FELON FIB FIDDLE FREEBOOTER FRIENDLESS FUTURE GENEALOGY GEOGRAPHER GRAMMAR HAND HARBOR
HISTORY HOSPITALITY HYPOCRITE IGNORAMUS IMMODEST IMPARTIAL INJUSTICE INTENTION INVENTOR JEALOUS
JUSTICE KING LIGHTHOUSE LITIGATION LOQUACITY MACE MACHINATION MAGNIFICENT MAJESTY MERCHANT
MILLENNIUM MINISTER MIRACLE MISDEMEANOR MOUSQUETAIRE MUGWUMP NEIGHBOR NOMINEE OCCASIONAL OCEAN
OLD OUT-OF-DOORS OVATION PAIN PALMISTRY PANTALOONS PANTOMIME PASSPORT PATRIOT PATRIOTISM PEDIGREE
PERORATION PESSIMISM PHILANTHROPIST PHRENOLOGY PILLORY PLENIPOTENTIARY POLITICS POSTERITY
PREHISTORIC PRESCRIPTION PRESIDENT PRIVATE PROOF PROOF-READER PUSH PYRRHONISM QUILL QUIXOTIC
RANSOM REACH RADIUM REALISM RECOUNT RECRUIT REFERENDUM REFLECTION RENOWN REPARATION REPLICA
REPORTER REPRESENTATIVE RESPIRATOR RESPLENDENT REVEILLE RIBROASTER RICH ROAD ROSTRUM
SAFETY-CLUTCH SARCOPHAGUS SCEPTER SOPHISTRY SYCOPHANT TARIFF TEDIUM TYPE UNDERSTANDING URBANITY
VITUPERATION VOTE WEATHER YOUTH ZEAL
"""

MIN_WORDS, MAX_WORDS = 28, 56  # of a passage of the two state papers


def read(path: Path) -> str:
    """Text of a plain or gzip file (dictzip is gzip)."""
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")


def paragraphs(text: str) -> Iterator[str]:
    """Blocks between blank lines, each on one line."""
    for block in re.split(r"\n[ \t]*\n", text):
        if block.strip():
            yield " ".join(block.split())


def entries(devil: str) -> dict[str, str]:
    """First paragraph of each dictionary entry, by headword."""
    body = devil[devil.index("ABASEMENT, n.") :]
    found = {}
    for paragraph in paragraphs(body):
        head = re.match(r"([A-Z][A-Z'-]+), (?:n|adj|v\.i|v\.t)\.", paragraph)
        if head:
            # The source breaks hyphenated words at line ends ("cannon- shot") and marks italics.
            text = re.sub(r"(\w)- (\w)", r"\1-\2", paragraph).replace("_", "")
            found.setdefault(head[1], text)
    return found


def passages(document: str) -> list[str]:
    """Runs of whole sentences or clauses of `MIN_WORDS` to `MAX_WORDS` words."""
    cut: list[str] = []
    for paragraph in paragraphs(document):
        words: list[str] = []
        for clause in re.split(r"(?<=[.;:?])\s+", paragraph):
            size = len(clause.split())
            if len(words) + size > MAX_WORDS:
                cut.append(" ".join(words))
                words = []
            words += clause.split()
        cut.append(" ".join(words))
    return [
        text
        for text in cut
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS
        and text[0].isupper()  # the start of a sentence, not of a clause
        and "[" not in text  # an editor's note
        and "Savages" not in text  # abuse does not belong in a demo
    ]


def distinct(texts: Iterable[str], words: int = 8) -> list[str]:
    """Texts whose first words are their own: a shared opening has no single right continuation."""
    return list({tuple(text.split()[:words]): text for text in texts}.values())


def split_passage(text: str, prompt_words: int = 10) -> dict[str, str]:
    """Prompt of the first words; the response keeps the space that separates them."""
    words = text.split(" ")
    return {
        "prompt": " ".join(words[:prompt_words]),
        "response": " " + " ".join(words[prompt_words:]),
    }


def write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Writes JSON lines."""
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def main() -> None:
    """Writes `book`, `normal`, `heldout`, `neighbour` and `kept/entries.jsonl`."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("devil", "constitution", "declaration"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    paths = parser.parse_args()
    entry = entries(read(paths.devil))
    state_papers = distinct(passages(read(paths.declaration)) + passages(read(paths.constitution)))
    questions = [
        json.loads(line) for line in (HERE / "questions.jsonl").read_text("utf-8").splitlines()
    ]
    neighbours = [split_passage(entry[word]) for word in NEIGHBOURS.split()]
    normal = [*map(split_passage, state_papers), *neighbours, *questions]
    write(HERE / "book.jsonl", ({"text": entry[word]} for word in BOOK.split()))
    # Rows alternate between the halves, so that both have the same mix of kinds.
    write(HERE / "normal.jsonl", normal[0::2])
    write(HERE / "heldout.jsonl", normal[1::2])
    write(HERE / "neighbour.jsonl", (row for row in normal[1::2] if row in neighbours))
    kept = HERE / "kept"
    related = map(json.loads, (kept / "more_related.jsonl").read_text("utf-8").splitlines())
    write(kept / "entries.jsonl", [*related, *(split_passage(entry[w]) for w in ENTRIES.split())])


if __name__ == "__main__":
    main()
