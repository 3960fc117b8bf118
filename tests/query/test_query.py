"""SQL over a run: right answers, in every form; nothing is written, nothing outside is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from malles.cli import run as command_line
from malles.errors import QueryError, RunError, UsageError
from malles.query import RunTables, open_run_tables
from malles.query.export import as_csv, write_answer
from query.hand_run import HOSTILE, decisions, make_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("query")
    make_run(base)
    return base


@pytest.fixture
def tables(root: Path):
    with open_run_tables("hand-1", root) as opened:
        yield opened


def test_units_by_week_are_those_written_by_hand(tables: RunTables):
    """2 + 4 in week 21, 4 in week 22; a sum of whole numbers is a whole number."""
    answer = tables.query("select week, sum(units) as units from decisions group by week order by week")
    assert answer.to_dicts() == [{"week": 21, "units": 6}, {"week": 22, "units": 4}]
    assert answer.schema["units"] == pl.Int64


def test_whole_tables_come_back_as_they_were_written(tables: RunTables):
    assert tables.query("from decisions").equals(decisions())
    assert tables.table("decisions").collect().equals(decisions())
    assert list(tables.tables) == ["decisions", "week_total"]


def test_a_pandas_frame_holds_the_same_numbers(tables: RunTables):
    pytest.importorskip("pandas")
    assert tables.pandas("select units from decisions")["units"].tolist() == [2, 4, 4]


@pytest.mark.parametrize(
    "sql",
    [
        "with w as (select * from decisions) select count(*) from w",
        "from decisions",
        "values (1)",
        "describe decisions",
        "summarize decisions",
        "show tables",
        "select 1 -- a remark\n;",
        "pivot decisions on mode in ('free_running') using sum(units) group by week",
    ],
)
def test_every_way_to_read_is_answered(tables: RunTables, sql: str):
    assert tables.query(sql).height >= 1


WRITES = [
    "drop view decisions", "create table x as select 1", "insert into decisions select * from decisions",
    "update decisions set units = 0", "delete from decisions", "truncate decisions",
    "alter view decisions rename to x", "copy decisions to 'out.csv'", "copy decisions from 'in.csv'",
    "attach 'other.db'", "detach memory", "install httpfs", "load json", "set memory_limit = '100GB'",
    "reset memory_limit", "pragma database_list", "call pragma_version()", "export database 'out'",
    "import database 'out'", "begin", "commit", "checkpoint", "vacuum", "analyze", "use memory",
    "prepare p as select 1", "execute p", "explain analyze select 1", "create secret (type s3)",
    "create macro f() as 1", "create type mood as enum ('a')", "select 1; drop view decisions",
    "with x as (insert into decisions select * from decisions returning *) select * from x",
]  # fmt: skip

OUTSIDE = [
    "select * from 'secret.parquet'", "select * from '{folder}/secret.parquet'",
    "select * from read_parquet('{folder}/*.parquet')", "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')", "select * from read_blob('/etc/passwd')",
    "select * from read_json('/etc/passwd')", "select * from '/etc/passwd'", "select * from glob('/*')",
    "select * from 'https://example.org/x.parquet'", "select * from read_csv('https://example.org/x.csv')",
    "select * from 's3://bucket/x.parquet'", "select * from sqlite_scan('a.db', 'b')",
    "select * from '{folder}/06-tables/../secret.parquet'",
    "select * from parquet_schema('{folder}/secret.parquet')",
    "select * from read_parquet(['{folder}/06-tables/decisions.parquet', '{folder}/secret.parquet'])",
    "select * from duckdb_secrets()",
]  # fmt: skip


@pytest.mark.parametrize("sql", WRITES)
def test_whatever_could_change_something_is_refused_in_a_sentence(tables: RunTables, sql: str, root: Path):
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    with pytest.raises(QueryError, match=r"read, never changed|One SELECT|not valid SQL") as refused:
        tables.query(sql)
    assert str(refused.value).count("\n") == 0
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
    assert tables.query("select count(*) as n from decisions")["n"].item() == 3


@pytest.mark.parametrize("sql", OUTSIDE)
def test_whatever_lies_outside_is_refused_in_a_sentence(tables: RunTables, sql: str, root: Path):
    with pytest.raises(QueryError, match="reads the tables of its run and nothing else"):
        tables.query(sql.format(folder=root / "hand-1"))


def test_variables_of_the_caller_and_settings_are_out_of_reach(tables: RunTables):
    frame = pl.DataFrame({"a": [1]})
    assert frame.height == 1
    with pytest.raises(QueryError, match="has no table 'frame'"):
        tables.query("select * from frame")
    settings = tables.query(
        "select name, value from duckdb_settings() where name in ('enable_external_access', "
        "'lock_configuration', 'autoload_known_extensions', 'temp_directory')"
    )
    assert dict(settings.rows()) == {
        "enable_external_access": "false", "lock_configuration": "true",
        "autoload_known_extensions": "false", "temp_directory": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("select * from decisons", "Run 'hand-1' has no table 'decisons'. Did you mean 'decisions'?"),
        ("select * from trips", "Run 'hand-1' has no table 'trips' yet; go on with: malles runs"),
        ("select unts from decisions", "There is no column 'unts'. Did you mean 'units'?"),
        ("select d.pric from decisions d", "There is no column 'pric' in 'd'. Did you mean"),
        ("select summ(units) from decisions", "There is no function 'summ'. Did you mean 'sum'?"),
        ("selec 1", "The query is not valid SQL near 'selec'"),
        ("", "The query is empty"),
        ("-- nothing", "The query is empty"),
        ("select category::int from decisions", "The query failed: Could not convert string 'MILK'"),
        ("select units, count(*) from decisions", "The query failed: column \"units\" must appear in"),
        ("select 1 as a, 2 as a", "The answer has two columns named 'a'"),
        ("select interval 1 day as pause", "The column 'pause' is a span of time"),
        ("pivot decisions on mode using sum(units)", "A PIVOT must name its columns"),
    ],
)  # fmt: skip
def test_a_wrong_query_is_one_sentence_with_what_was_meant(tables: RunTables, sql: str, sentence: str):
    with pytest.raises(QueryError) as refused:
        tables.query(sql)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_a_query_without_end_is_stopped_and_the_next_one_is_answered(tables: RunTables):
    endless = "select count(*) from range(100000000) a, range(100000000) b where a.range * b.range % 7 = 3"
    with pytest.raises(QueryError, match=r"stopped after 0\.3 s"):
        tables.query(endless, seconds=0.3)
    assert tables.query("select 1 as one")["one"].item() == 1


def test_an_answer_too_large_for_the_memory_is_refused(tables: RunTables, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("malles.query.opened.MOST_ROWS", 100_000)
    with pytest.raises(QueryError, match="more than 100,000 rows"):
        tables.query("select * from range(1000000000)")
    assert tables.query("select * from range(1000000000)", rows=7).height == 7


def test_a_run_without_tables_says_how_to_make_them(tmp_path: Path):
    (tmp_path / "old-1").mkdir()
    (tmp_path / "old-1" / "run.json").write_text("{}")
    with pytest.raises(RunError, match="malles runs resume old-1"):
        open_run_tables("old-1", tmp_path)
    with pytest.raises(RunError, match="There is no run 'new-1'"):
        open_run_tables("new-1", tmp_path)
    with pytest.raises(UsageError):
        open_run_tables("../hand-1", tmp_path)


def test_a_link_out_of_the_run_is_not_followed(root: Path, tmp_path: Path):
    folder = make_run(tmp_path)
    target = folder / "06-tables" / "week_total.parquet"
    target.unlink()
    target.symlink_to(root / "hand-1" / "secret.parquet")
    with open_run_tables(folder) as opened:
        assert list(opened.tables) == ["decisions"]


@pytest.mark.parametrize("name", ["it's", "a[1]b", "star*", "ques?tion", 'quo"te'])
def test_a_folder_with_an_odd_name_is_read_as_any_other(tmp_path: Path, name: str):
    folder = make_run(tmp_path / name)
    with open_run_tables(folder) as opened:
        assert opened.query("select sum(units) as n from decisions")["n"].item() == 10


def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe():
    frame = pl.DataFrame(
        {"@name": ["=1+1", "+a", "-b", "@c", "\tx", "MILK", None, ""], "n": [-1, 2, 3, 4, 5, 6, 7, 8]}
    )
    lines = as_csv(frame).splitlines()
    assert lines[0] == "'@name,n"
    assert [line[0] for line in lines[1:6]] == ["'"] * 5
    assert lines[1] == "'=1+1,-1"  # a number stays a number
    assert lines[6:] == ["MILK,6", ",7", '"",8']


def test_lists_have_no_place_in_csv_but_in_parquet(tmp_path: Path):
    frame = pl.DataFrame({"many": [[1, 2]]})
    with pytest.raises(QueryError, match="'many' holds lists"):
        write_answer(frame, tmp_path / "x.csv")
    write_answer(frame, tmp_path / "x.parquet")
    assert pl.read_parquet(tmp_path / "x.parquet").equals(frame)
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]


def call(root: Path, *arguments: str) -> int:
    return command_line(["query", "hand-1", *arguments, "--root", str(root)])


def test_the_command_prints_a_table_and_says_when_there_is_more(root: Path, capsys):
    assert call(root, "select * from range(100)") == 0
    out, err = capsys.readouterr()
    assert len(re.findall(r"^\s*\d+\s*$", out, re.M)) == 40
    assert "The first 40 rows; there are more" in err
    assert call(root, "select sum(units) as units from decisions") == 0
    out, err = capsys.readouterr()
    assert "units" in out and "10" in out
    assert err == ""


def test_json_csv_and_files_hold_the_same_answer(root: Path, tmp_path: Path, capsys):
    sql = "select product, units from decisions order by units, product nulls last limit 2"
    assert call(root, sql, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"product": HOSTILE, "units": 2},
        {"product": "whole", "units": 4},
    ]
    assert call(root, sql, "--csv") == 0
    assert capsys.readouterr().out == f"product,units\n'{HOSTILE},2\nwhole,4\n"
    for name in ("a.csv", "a.parquet"):
        assert call(root, sql, "-o", str(tmp_path / name)) == 0
        out, err = capsys.readouterr()
        assert out == "" and "2 rows, 2 columns" in err
    assert pl.read_parquet(tmp_path / "a.parquet")["units"].to_list() == [2, 4]
    assert (tmp_path / "a.csv").read_text() == f"product,units\n'{HOSTILE},2\nwhole,4\n"


def test_the_tables_are_listed_with_what_they_mean(root: Path, capsys):
    assert call(root, "--tables") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "decisions: one product drawn for one trip" in shown
    assert "units drawn" in shown
    assert "scores" not in shown  # not in this run
    assert call(root, "--tables", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [t["table"] for t in listed] == ["decisions", "week_total"]
    assert all(c["meaning"] for t in listed for c in t["columns"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give one of a query and --tables"),
        (["select 1", "--tables"], "Give one of a query and --tables"),
        (["select 1", "--csv", "--json"], "Give one of --csv and --json"),
        (["select 1", "-o", "x.xlsx"], "should end in .csv or .parquet"),
        (["drop view decisions"], "DROP is refused"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_exit_code_2(root: Path, capsys, arguments, sentence):
    assert call(root, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err and err.count("\n") == 1
