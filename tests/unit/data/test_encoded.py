from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.data.encoded import EncodedRows
from unlearnkit.errors import Place

IDS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5)
ROW = st.lists(st.tuples(IDS, IDS), min_size=1, max_size=3)


@given(st.lists(ROW, max_size=6))
def test_rows_come_back_as_they_went_in(table):
    data = EncodedRows("forget", "a.jsonl")
    for number, sequences in enumerate(table, start=11):
        data.append(sequences, Place(number, number), text="")
    assert len(data) == len(table)
    for row, sequences in enumerate(table):
        examples = data.at(row, occurrence=row)
        assert [(list(e.prompt_ids), list(e.response_ids)) for e in examples] == sequences
        assert {(e.row, e.source) for e in examples} == {(row, f"a.jsonl:{row + 11}")}
        expected = len(sequences), sum(len(response) for _, response in sequences)
        assert data.lengths(row, occurrence=row) == expected
