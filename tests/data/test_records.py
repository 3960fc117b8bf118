"""The reader of delimited text: nothing is swallowed, nothing is counted twice."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from malles.data.records import read_delimited
from malles.errors import DataError, MallesError, SchemaError

HEAD = b"order,product,price\n"


def read(tmp_path, content: bytes):
    path = tmp_path / "orders.csv"
    path.write_bytes(content)
    return read_delimited(path)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b'1,"milk,2', "unclosed quote"),
        (b'1,"mi"lk,2', "text after a closing quote"),
        (b"1,milk", "too few fields"),
        (b"1,milk,2,3", "too many fields"),
        (b"1,mi\x00lk,2", "NUL byte"),
        (b"1,caf\xe9,2", "not valid UTF-8"),
    ],
)
def test_a_spoilt_line_costs_only_itself(tmp_path, line, cause):
    found = read(tmp_path, HEAD + b"0,bread,1\n" + line + b'\n2,"eggs",3\n3,salt,4\n')
    assert found.count == 4
    assert found.rows["order"].to_list() == ["0", "2", "3"]
    assert found.refused.select("line", "cause").rows() == [(3, cause)]
    assert found.refused["text"][0].startswith("1")


def test_a_quoted_field_may_hold_delimiters_quotes_and_line_breaks(tmp_path):
    found = read(tmp_path, HEAD + b'1,"a, ""b""\nc",2\n3,5" nail,4\n')
    assert found.rows["product"].to_list() == ['a, "b"\nc', '5" nail']
    assert found.rows["_line"].to_list() == [2, 4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_byte_order_marks_and_line_endings_change_nothing(tmp_path, encoding, ending):
    content = ending.join(["order;product;price", "1;käse;2", "2;milk;3", ""])
    found = read(tmp_path, content.encode(encoding))
    assert found.columns == ("order", "product", "price")
    assert found.rows["product"].to_list() == ["käse", "milk"]


def test_quotes_inside_unquoted_fields_are_text(tmp_path):
    found = read(tmp_path, HEAD + b'1,5" nail,\n"2, ""b""",a"b"c,"x"\n')
    rows = [tuple(v or "" for v in r) for r in found.rows.drop("_line").iter_rows()]
    assert rows == [("1", '5" nail', ""), ('2, "b"', 'a"b"c', "x")]


def test_blank_lines_are_counted_but_are_no_records(tmp_path):
    found = read(tmp_path, HEAD + b"1,milk,2\n\n  \n2,milk,2\n\n")
    assert (found.count, found.blank) == (2, 3)


def test_an_empty_file_and_a_repeated_name_are_one_sentence_each(tmp_path):
    with pytest.raises(DataError, match=r"orders\.csv is empty: it has no header line\."):
        read(tmp_path, b"  \n")
    with pytest.raises(SchemaError, match="names a column twice: 'price'"):
        read(tmp_path, b"price,price\n1,2\n")


field = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00\r"), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(field, field, field), min_size=1, max_size=12))
def test_what_a_csv_writer_writes_is_read_back_whole(tmp_path, rows):
    """Twin: the standard library's writer. An empty field may come back as null."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    found = read(tmp_path, HEAD + out.getvalue().encode())
    assert found.count == len(rows)
    back = [tuple(v or "" for v in r) for r in found.rows.drop("_line").iter_rows()]
    assert back == rows


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(
        st.tuples(
            st.integers(20, 400), st.sampled_from([b'"', b"\n", b"\x00", b"\xff", b",", b"\r\n", b'""', b""])
        ),
        max_size=6,
    )
)
def test_every_line_of_a_mutated_file_is_good_refused_or_blank(tmp_path, cuts):
    content = HEAD + b"".join(b'%d,"milk, ""fresh""",%d.50\n' % (i, i) for i in range(20))
    for at, insert in cuts:
        content = content[:at] + insert + content[at + 1 :]
    try:
        found = read(tmp_path, content)
    except MallesError:
        return  # the header itself was hit
    assert found.count == len(found.rows) + len(found.refused)
    lines = content.count(b"\n", content.find(b"\n") + 1) + (not content.endswith(b"\n"))
    assert found.count + found.blank <= lines
    intact = {f'{i},"milk, ""fresh""",{i}.50' for i in range(20)} & set(
        content.decode("utf-8", "replace").split("\n")
    )
    assert len(found.rows) >= len(intact) - 2 * len(cuts)
