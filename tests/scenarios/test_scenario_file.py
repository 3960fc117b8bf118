"""Scenario files: every kind is read, and every mistake is one sentence that says where and what to do."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from house.source_tree import SOURCE
from malles.config.scenario_changes import KINDS
from malles.config.scenario_file import build_scenario_file, load_scenario_file
from malles.errors import ConfigError

EVERY = """
[scenario]
name = "everything"
category = "TEA"
weeks = [43, 44]
segment_by = "income"
margin = 0.25
[costs]
"11" = 0.55
[[change]]
kind = "price"
product = 11
relative = -0.2
weeks = [43]
stores = [7, "8"]
[[change]]
kind = "schedule"
product = "11"
prices = { "43" = 0.99, "44" = 1.19 }
[[change]]
kind = "discount"
product = "11"
depth = 0.25
[[change]]
kind = "display"
product = "11"
[[change]]
kind = "mailer"
product = "11"
on = false
[[change]]
kind = "delist"
product = "12"
[[change]]
kind = "stock_out"
product = "12"
weeks = [44]
[[change]]
kind = "limited_stock"
product = "11"
units = 500
[[change]]
kind = "enter"
product = "13"
price = 2
[[change]]
kind = "new_product"
name = "mint"
price = 2.5
like = ["11", "12"]
[[change]]
kind = "rivals"
product = "11"
absolute = 1.5
rivals = ["12"]
pass_through = 0.5
[[change]]
kind = "cap"
products = "all"
cap = 3
[[change]]
kind = "sales_tax"
rate = 0.1
[[change]]
kind = "subsidy"
amount = 0.2
segment = { column = "income", values = ["Under 15K"] }
[[change]]
kind = "income"
relative = -0.1
[[change]]
kind = "preference"
product = "11"
shift = 0.5
"""


def written(tmp_path, text):
    path = tmp_path / "tea.toml"
    path.write_text(text)
    return path


def test_a_file_with_every_kind_is_read_in_order(tmp_path):
    file = load_scenario_file(written(tmp_path, EVERY))
    assert [change.kind for change in file.change] == list(KINDS)
    assert len(KINDS) == 16
    assert file.scenario.weeks == (43, 44)
    assert file.costs == {"11": 0.55}
    assert file.change[0].product == "11"  # a whole number is a key
    assert file.change[0].stores == ("7", "8")
    assert file.change[11].products == "all"


PRICE = '[[change]]\nkind = "price"\nproduct = "11"\n'
GONE = '[[change]]\nkind = "delist"\nproduct = "11"\n'
MISTAKES = [
    (PRICE + "relativ = -0.2", "change 1 (price): unknown field 'relativ'. Did you mean 'relative'?"),
    (GONE + PRICE + "relative = -1.2", "change 2 (price): relative = -1.2 is impossible; expected: greater"),
    (PRICE + "relative = 'x'", "change 1 (price): relative = 'x' is impossible; expected: a valid number."),
    (PRICE, "change 1 (price): needs either relative or absolute, got relative = None, absolute = None"),
    (PRICE + "absolute = 1.0\nrelative = 0.1", "needs either relative or absolute, got relative = 0.1"),
    (PRICE + "absolute = -1.0", "absolute = -1.0 is impossible; expected: greater than 0."),
    (PRICE + "absolute = 0", "absolute = 0 is impossible; expected: greater than 0."),
    (PRICE + "absolute = nan", "absolute = nan is impossible; expected: a finite number."),
    (PRICE + "absolute = true", "absolute = True is impossible; expected: a valid number."),
    (PRICE + "relative = 0.1\nweeks = 44", "weeks = 44 is impossible; expected: a list in [ ]."),
    (PRICE + "relative = 0.1\nweeks = [44, 44]", "weeks names something twice: [44, 44]; name each once."),
    ('[[change]]\nkind = "prise"', "change 1: unknown kind 'prise'. Did you mean 'price'?"),
    ('[[change]]\nkind = "zzz"', "change 1: unknown kind 'zzz'. The kinds are: price, schedule, discount,"),
    ("[[change]]\nrelative = 0.1", "change 1: it has no kind; write kind = \"price\" or another of: price,"),
    ('[[change]]\nkind = "delist"', "change 1 (delist): product is missing; add it."),
    ("change = [3]", "change 1: it = 3 is impossible; expected: a table of fields."),
    ('[change]\nkind = "delist"\nproduct = "11"', "one pair of brackets; write [[change]] above every"),
    ('[scenario]\nname = "tea"', "changes nothing; write at least one [[change]]"),
    ("[scenaro]\na = 1\n" + GONE, "unknown field 'scenaro'. Did you mean 'scenario'?"),
    ("[scenario]\nsegmentby = 1\n" + GONE, "unknown field 'segmentby'. Did you mean 'segment_by'?"),
    ("[scenario]\nweeks = [44, 43]\n" + GONE, "[scenario]: weeks = [44, 43] ends before it begins"),
    ("[scenario]\nweeks = [44]\n" + GONE, "[scenario]: weeks has too few values; it needs 2."),
    ("[scenario]\nmargin = 1\n" + GONE, "[scenario]: margin = 1 is impossible; expected: less than 1."),
    ('[costs]\n"11" = -1\n' + GONE, "costs.11 = -1 is impossible; expected: greater than or equal to 0."),
    (
        '[[change]]\nkind = "schedule"\nproduct = "11"\nprices = { x = 1.0 }',
        "change 1 (schedule): prices names the week 'x'; weeks are whole numbers from 1.",
    ),
    (
        '[[change]]\nkind = "schedule"\nproduct = "11"\nprices = { "43" = -1.0 }',
        "change 1 (schedule): prices.43 = -1.0 is impossible; expected: greater than 0.",
    ),
    (
        '[[change]]\nkind = "stock_out"\nproduct = "11"',
        'change 1 (stock_out): says neither weeks nor stores; name one of them, or write kind = "delist"',
    ),
    (
        '[[change]]\nkind = "limited_stock"\nproduct = "11"\nunits = 5\nweeks = [44]',
        "change 1 (limited_stock): holds in every week and for all stores together; leave weeks and stores",
    ),
    (
        '[[change]]\nkind = "subsidy"\nrate = 0.1\nsegment = { colum = "income", values = ["x"] }',
        "unknown field 'segment.colum'. Did you mean 'column'?",
    ),
    (
        '[[change]]\nkind = "new_product"\nname = "mint"\nprice = 2\nlike = ["11"]\nbrand = "private"',
        "change 1 (new_product): has like beside brand or size",
    ),
    ('[[change]]\nkind = "cap"\nproducts = "al"\ncap = 1', "products = 'al' is impossible; expected: a list"),
    ('[[change]]\nkind = "cap"\nproducts = []\ncap = 1', "products = [] is impossible; expected: at least"),
    ("[scenario", "is not valid TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence_that_names_the_file_the_change_and_the_field(tmp_path, text, sentence):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_scenario_file(path)
    assert str(caught.value).startswith(str(path))
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 2


def test_one_mistake_is_told_once(tmp_path):
    """The list of changes that is too short only because its one change is wrong is not told as well."""
    with pytest.raises(ConfigError) as caught:
        load_scenario_file(written(tmp_path, PRICE + "relativ = -0.2\nabsolute = 1.0"))
    assert "\n" not in str(caught.value)


def test_a_wrong_list_of_products_is_told_once(tmp_path):
    """It may be a word or a list; only the list is spoken of."""
    with pytest.raises(ConfigError) as caught:
        load_scenario_file(written(tmp_path, '[[change]]\nkind = "cap"\ncap = 1\nproducts = ["11", [1]]'))
    assert str(caught.value).endswith("products.1 = [1] is impossible; expected: a valid string.")
    assert "\n" not in str(caught.value)


def test_two_mistakes_are_two_lines(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_scenario_file(written(tmp_path, PRICE + "relative = -3\n" + '[[change]]\nkind = "x"'))
    assert [line.split(": ")[1] for line in str(caught.value).split("\n")] == ["change 1 (price)", "change 2"]


def test_a_file_of_the_old_form_is_told_what_to_write_instead(tmp_path):
    old = '[scenario]\nproduct = "11"\nprice_multiplier = 0.75\ndisplay = true\n'
    with pytest.raises(ConfigError) as caught:
        load_scenario_file(written(tmp_path, old))
    assert 'kind = "price", product = "11", relative = -0.25' in str(caught.value)
    assert 'kind = "display", product = "11"' in str(caught.value)
    new = PRICE + 'relative = -0.25\n[[change]]\nkind = "display"\nproduct = "11"\n'
    assert len(load_scenario_file(written(tmp_path, new)).change) == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no scenario file .*nowhere\.toml"):
        load_scenario_file(tmp_path / "nowhere.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "tea.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        load_scenario_file(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*KINDS, "11", "all"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted({name for table in KINDS.values() for name in table.model_fields})


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5) | JSON, max_size=3) | JSON, JSON)
def test_any_tables_are_accepted_or_refused_with_a_sentence(change, scenario):
    """Nothing but ConfigError ever comes out, and the sentence is never empty."""
    try:
        build_scenario_file({"change": change, "scenario": scenario})
    except ConfigError as refused:
        assert str(refused)


def test_every_field_has_a_sentence_under_it():
    missing, seen = [], 0
    for name in ("scenario_changes", "scenario_file"):
        body = ast.parse((SOURCE / "config" / f"{name}.py").read_text()).body
        for table in (n for n in body if isinstance(n, ast.ClassDef)):
            for here, after in zip(table.body, [*table.body[1:], None], strict=True):
                if isinstance(here, ast.AnnAssign) and ast.unparse(here.target) != "kind":
                    seen += 1
                    if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
                        missing.append(f"{table.name}.{ast.unparse(here.target)}")
    assert not missing
    assert seen > 40
