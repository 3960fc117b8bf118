"""The shipped scenarios: each loads, and says in codes what its comments say in words."""

import re
import tomllib

import numpy as np
import polars as pl
import pytest

from house.source_tree import CLONE
from malles.config import Config
from malles.config.scenario_changes import KINDS
from malles.config.scenario_file import build_scenario_file, load_scenario_file
from malles.data.loading import load_dataset
from malles.occasions.catalogue import build_catalogue
from malles.scenarios.changes import Delist, Display, Mailer, PriceChange
from malles.scenarios.naming import Resolved, resolve_scenario
from malles.scenarios.newcomer import Newcomer
from malles.scenarios.products import name_of
from malles.scenarios.sense import require_sense
from malles.scenarios.shelf_changes import Discount, PriceCap, PriceSchedule, RivalsFollow
from malles.vocabulary import Catalogue, Lines, Offers, Products, PromotionTable

SHIPPED = sorted((CLONE / "examples" / "scenarios").glob("*.toml"))

SOLD = {
    "SOFT DRINKS | SOFT DRINKS 12/18&15PK CAN CAR": (5569230, 8090521),
    "SOFT DRINKS | SFT DRNK 2 LITER BTL CARB INCL": (844165, 893501, 1053690),
    "FLUID MILK PRODUCTS | FLUID MILK WHITE ONLY": (1029743, 1070820, 1081189, 1106523, 1126899),
    "CHEESE | SHREDDED CHEESE": (859075, 940766),
    "BAKED BREAD/BUNS/ROLLS | MAINSTREAM WHITE BREAD": (951590, 962229),
}
"""Some keys of the Complete Journey products, by choice category."""
KEY = [key for keys in SOLD.values() for key in keys]


def small() -> Catalogue:
    """A catalogue of these products, each sold once at a list price of 2.00, and of four households."""
    n, none = len(KEY), np.zeros(0, np.int32)
    ones = np.ones(n, np.float32)
    lines = Lines(
        np.zeros(n, np.int32), np.zeros(n, np.int32), np.arange(n, dtype=np.int32), np.arange(n),
        np.full(n, 44, np.int16), np.arange(n), np.ones(n, np.int32), ones, 2 * ones,
    )  # fmt: skip
    products = Products(
        key=pl.Series(KEY),
        category=np.repeat(np.arange(len(SOLD)), [len(keys) for keys in SOLD.values()]).astype(np.int32),
        group=np.zeros(n, np.int32), department=np.zeros(n, np.int32), manufacturer=np.zeros(n, np.int32),
        private_label=np.zeros(n, bool), size=np.zeros(n, np.int32), amount=ones,
        text=pl.Series([f"thing {key}" for key in KEY]),
    )  # fmt: skip
    income = ["Under 15K", "15-24K", "250K+", None]
    return Catalogue(
        name="small", currency="USD", lines=lines, products=products, category_name=tuple(SOLD),
        group_name=("ALL",), customer_key=pl.Series([1, 2, 3, 4]), store_key=pl.Series([7]),
        customers=pl.DataFrame({"customer": [1, 2, 3, 4], "income": income}),
        promotions=PromotionTable(none.astype(np.int16), none, none, none.astype(np.uint8)),
        offers=Offers(none, none, none.astype(np.int64), none.astype(np.int64)),
        choice_store=np.ones(1, bool),
    )  # fmt: skip


def resolved(name: str) -> Resolved:
    file = load_scenario_file(CLONE / "examples" / "scenarios" / f"{name}.toml")
    return resolve_scenario(file, small(), (41, 44), 0)


def code(key: int) -> int:
    return KEY.index(key)


def test_every_shipped_scenario_resolves_and_makes_sense():
    standing = {week: np.arange(len(KEY)) for week in range(41, 45)}
    for path in SHIPPED:
        found = resolve_scenario(load_scenario_file(path), small(), (41, 44), 0)
        require_sense(found, standing, name_of(small(), found.newcomers).__getitem__)
        assert found.changes or found.policies or found.newcomers
        assert found.name == load_scenario_file(path).scenario.name
        assert path.name in path.read_text()  # the command in its comment
    assert len(SHIPPED) == 8


def test_shipped_scenarios_show_most_kinds():
    shown = {change.kind for path in SHIPPED for change in load_scenario_file(path).change}
    assert set(KINDS) - shown == {"enter", "preference"}


def test_the_page_names_every_kind_and_its_example_loads():
    page = (CLONE / "docs" / "method" / "scenarios.md").read_text()
    rows = [line.split("|")[1] for line in page.split("\n") if line.startswith("| `")]
    assert {kind for row in rows for kind in re.findall(r"`(\w+)`", row)} == set(KINDS)
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (change,) = build_scenario_file(tomllib.loads(example)).change
    assert (change.kind, change.relative, change.stores) == ("price", -0.2, ("367", "406"))


def test_the_price_cut_has_its_cost_and_its_margin():
    found = resolved("price_cut_on_display")
    can = code(5569230)
    assert found.changes == (PriceChange(can, relative=-0.2), Display(can))
    assert found.cost[can] == pytest.approx(2.10)
    assert found.cost[code(8090521)] == pytest.approx(0.75 * 2.00)


def test_the_schedule_speaks_of_four_weeks():
    bottle = code(844165)
    prices = ((41, 0.79), (42, 0.79), (43, 1.29), (44, 1.79))
    assert resolved("price_schedule").changes == (
        PriceSchedule(bottle, prices),
        Mailer(bottle, weeks=(41, 42)),
    )


def test_rivals_follow_half_of_the_way():
    lead = PriceChange(code(844165), relative=-0.15)
    assert resolved("rival_follows").changes == (RivalsFollow(lead, (code(1053690), code(893501)), 0.5),)


def test_a_stock_out_is_for_a_week_and_a_delisting_for_good():
    assert resolved("stock_out").changes == (Delist(code(1029743), weeks=(43,)), Delist(code(1081189)))


def test_the_stock_is_limited_to_60_packs_a_week():
    found = resolved("limited_stock")
    assert found.changes == (Discount(code(859075), 0.4),)
    assert found.stock == {code(859075): 60}


def test_the_tax_is_split_by_income():
    found = resolved("sales_tax_by_income")
    (tax,) = found.policies
    assert (tax.rate, tax.pass_through, tax.reach.products) == (0.1, 0.8, None)
    assert set(found.segments.label) == {"Under 15K", "15-24K", "250K+", "unknown"}


def test_the_new_loaf_is_like_two_loaves():
    found = resolved("new_product")
    like = (code(951590), code(962229))
    assert found.newcomers == ((len(KEY), Newcomer("Village loaf", 1.79, like, 0.1)),)
    assert found.cost[len(KEY)] == pytest.approx(1.05)


def test_the_subsidy_is_for_the_two_lowest_incomes():
    found = resolved("milk_subsidy")
    income, subsidy = found.policies
    assert (income.relative, income.reach.customers) == (-0.1, None)
    assert subsidy.reach.customers.tolist() == [True, True, False, False]
    assert found.changes == (PriceCap(tuple(map(code, (1029743, 1106523, 1070820, 1126899))), 2.59),)


@pytest.mark.slow
def test_every_shipped_scenario_is_about_products_sold_in_its_weeks():
    """On the real data: every product named is sold in the weeks of the scenario."""
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=Config().occasions.fit_until)
    lines = catalogue.lines
    sold = {week: np.unique(lines.product[lines.week == week]) for week in range(41, 45)}
    for path in SHIPPED:
        found = resolve_scenario(load_scenario_file(path), catalogue, (41, 44), 0)
        require_sense(found, sold, name_of(catalogue, found.newcomers).__getitem__)
    assert len(SHIPPED) == 8
