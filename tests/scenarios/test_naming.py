"""Names of a scenario file become codes; a name that does not exist or means two things is refused."""

import numpy as np
import polars as pl
import pytest

from malles.config.scenario_file import build_scenario_file
from malles.errors import ConfigError
from malles.profiles.incidence import Shelf
from malles.scenarios.changes import Delist, Display, Mailer, PriceChange
from malles.scenarios.naming import Resolved, resolve_scenario
from malles.scenarios.policy import IncomeShift, PreferenceShift, SalesTax, Subsidy
from malles.scenarios.products import name_of, usual_list_price
from malles.scenarios.sense import require_sense, standing_products
from malles.scenarios.shelf_changes import Discount, Enter, PriceCap, PriceSchedule, RivalsFollow
from malles.vocabulary import Catalogue, Lines, Offers, Products, PromotionTable

TEXTS = [
    "BLACK TEA 20 CT", "GREEN TEA 20 CT", "Private label TEA 40 CT", "HERB TEA", "HERB TEA",
    "COLA 2 L", "HERB TEA", "BAG",
]  # fmt: skip
KEYS = [11, 12, 13, 14, 15, 21, 22, 31]
TEA, COLA = 0, 1
MINT = {"kind": "new_product", "name": "mint", "price": 2.5}


def catalogue(customers: pl.DataFrame | None = None) -> Catalogue:
    """Teas 11 to 15 (codes 0 to 4), colas 21 and 22 (5 and 6), and 31 outside every category.

    Each was sold once at a list price of 1.00, 2.00, ...; 12 twice, at 2.00 and 3.00, 15 never.
    """
    sold = np.array([0, 1, 1, 2, 3, 5, 6, 7], np.int32)
    n, none = len(sold), np.zeros(0, np.int32)
    lines = Lines(
        np.zeros(n, np.int32), np.zeros(n, np.int32), sold, np.arange(n), np.ones(n, np.int16),
        np.arange(n), np.ones(n, np.int32), np.ones(n, np.float32),
        np.array([1, 2, 3, 3, 4, 6, 7, 8], np.float32),
    )  # fmt: skip
    products = Products(
        key=pl.Series(KEYS), category=np.array([0, 0, 0, 0, 0, 1, 1, -1], np.int32),
        group=np.zeros(8, np.int32), department=np.zeros(8, np.int32), manufacturer=np.zeros(8, np.int32),
        private_label=np.array([0, 0, 1, 0, 0, 0, 0, 0], bool), size=np.zeros(8, np.int32),
        amount=np.array([20, 20, 40, np.nan, np.nan, 67.6, np.nan, np.nan], np.float32),
        text=pl.Series(TEXTS),
    )  # fmt: skip
    people = pl.DataFrame(
        {"customer": [1, 2, 3, 4], "income": ["Low", "High", None, "Low"], "size": [1, 5, 2, 1]}
    )
    return Catalogue(
        name="tea house", currency="USD", lines=lines, products=products, category_name=("TEA", "COLA"),
        group_name=("DRINKS",), customer_key=pl.Series([1, 2, 3, 4]), store_key=pl.Series([7, 8]),
        customers=people if customers is None else customers,
        promotions=PromotionTable(none.astype(np.int16), none, none, none.astype(np.uint8)),
        offers=Offers(none, none, none.astype(np.int64), none.astype(np.int64)),
        choice_store=np.ones(2, bool),
    )  # fmt: skip


def resolve(
    *changes: dict, costs: dict | None = None, people: pl.DataFrame | None = None, **scenario
) -> Resolved:
    values = {"scenario": {"category": "TEA", **scenario}, "change": list(changes), "costs": costs or {}}
    values["scenario"] = {k: v for k, v in values["scenario"].items() if v is not None}
    return resolve_scenario(build_scenario_file(values), catalogue(people), (41, 44), COLA)


def cut(product: object = 11, **more: object) -> dict:
    return {"kind": "price", "product": product, "relative": -0.2, **more}


def refused(*changes: dict, **more) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(*changes, **more)
    return str(caught.value)


def test_every_edit_of_a_shelf_becomes_the_change_of_the_same_kind():
    found = resolve(
        cut(weeks=[43], stores=[8]),
        {"kind": "schedule", "product": 12, "prices": {"44": 1.2, "43": 0.9}},
        {"kind": "discount", "product": 13, "depth": 0.25},
        {"kind": "cap", "products": [11, 12], "cap": 3},
        {"kind": "display", "product": 11},
        {"kind": "mailer", "product": 11, "on": False},
        {"kind": "stock_out", "product": 14, "weeks": [44]},
        {"kind": "enter", "product": 15, "price": 2.0, "list_price": 2.5},
        {
            "kind": "rivals", "product": 11, "absolute": 1.5, "rivals": [12, 13], "pass_through": 0.5,
            "weeks": [44],
        },
        weeks=[43, 44],
    )  # fmt: skip
    assert found.changes == (
        PriceChange(0, relative=-0.2, weeks=(43,), stores=(1,)),
        PriceSchedule(1, ((43, 0.9), (44, 1.2))),
        Discount(2, 0.25),
        Display(0),
        Mailer(0, on=False),
        Delist(3, weeks=(44,)),
        Enter(4, 2.0, 2.5),
        RivalsFollow(PriceChange(0, absolute=1.5, weeks=(44,)), (1, 2), 0.5),
        PriceCap((0, 1), 3.0),  # caps come last
    )
    assert (found.category, found.weeks) == (TEA, (43, 44))
    assert found.products == (0, 1, 2, 3, 4)
    assert (found.policies, found.newcomers, found.stock, found.segments) == ((), (), {}, None)


def test_policies_reach_their_customers_products_weeks_and_stores():
    poor = {"column": "income", "values": ["Low"]}
    tax, subsidy, income, taste = resolve(
        {"kind": "sales_tax", "rate": 0.1, "products": [11], "weeks": [44], "stores": ["7"]},
        {"kind": "subsidy", "rate": 0.2, "segment": poor},
        {"kind": "income", "relative": -0.1, "segment": poor},
        {"kind": "preference", "product": "GREEN TEA 20 CT", "shift": 0.5},
    ).policies
    assert isinstance(tax, SalesTax)
    assert (tax.rate, tax.pass_through, tax.reach.products, tax.reach.weeks, tax.reach.stores) == (
        0.1, 1.0, (0,), (44,), (0,),
    )  # fmt: skip
    assert isinstance(subsidy, Subsidy)
    assert subsidy.reach.customers.tolist() == [True, False, False, True]
    assert subsidy.reach.products is None
    assert isinstance(income, IncomeShift)
    assert income.reach.customers.tolist() == [True, False, False, True]
    assert isinstance(taste, PreferenceShift)
    assert (taste.shift, taste.reach.products, taste.reach.customers) == (0.5, (1,), None)


def test_a_segment_may_hold_customers_of_whom_nothing_is_known():
    (found,) = resolve(
        {"kind": "income", "relative": 0.1, "segment": {"column": "income", "values": ["unknown"]}}
    ).policies
    assert found.reach.customers.tolist() == [False, False, True, False]


def test_a_limited_stock_is_units_by_product():
    assert resolve({"kind": "limited_stock", "product": 12, "units": 500}).stock == {1: 500}


def test_a_new_product_gets_a_code_after_the_catalogues_and_may_be_like_several():
    found = resolve({"kind": "new_product", "name": "mint", "price": 2.5, "like": [12, "BLACK TEA 20 CT"]})
    ((code, new),) = found.newcomers
    assert (code, new.name, new.price, new.like, new.appeal) == (8, "mint", 2.5, (1, 0), 0.0)
    assert found.products == (8,)
    assert name_of(catalogue(), found.newcomers)[8] == "mint (new)"
    assert name_of(catalogue())[0] == "BLACK TEA 20 CT (11)"


@pytest.mark.parametrize(
    ("asked", "like"),
    [
        ({"size": "40 CT"}, (2, 1, 0)),  # 40, then 20 and 20, of which 12 was sold twice
        ({"size": "24 CT"}, (1, 0, 2)),
        ({"brand": "national", "size": "40 CT"}, (1, 0, 3)),  # sizes that are not known come last
        ({"brand": "Private"}, (2,)),
        ({"brand": "herb"}, (3, 4)),  # a word of the text; the one that was sold first
        ({}, (1, 0, 2)),  # the best sellers
    ],
)
def test_without_like_a_new_product_is_like_its_brand_and_the_nearest_sizes(asked, like):
    ((_, new),) = resolve({"kind": "new_product", "name": "mint", "price": 2.5, **asked}).newcomers
    assert new.like == like


def test_policies_may_name_a_new_product_and_edits_of_a_shelf_may_not():
    new = {**MINT, "like": [11]}
    found = resolve(
        {"kind": "sales_tax", "rate": 0.1, "products": ["mint", 12]},
        {"kind": "preference", "product": "mint", "shift": 0.5},
        {"kind": "limited_stock", "product": "mint", "units": 7}, new, costs={"mint": 1.0},
    )  # fmt: skip
    assert found.policies[0].reach.products == (8, 1)
    assert found.policies[1].reach.products == (8,)
    assert found.stock == {8: 7}
    assert "change 2 (price): 'mint' is new in this file" in refused(new, cut("mint"))


def test_values_of_a_column_stand_in_the_order_of_their_numbers():
    people = pl.DataFrame({"customer": [1, 2, 3, 4], "income": ["100K+", None, "Under 15K", "15-24K"]})
    found = resolve(cut(), segment_by="income", people=people).segments
    assert found.label == ("Under 15K", "15-24K", "100K+", "unknown")


def test_costs_are_given_else_a_part_of_the_usual_list_price_else_unknown():
    np.testing.assert_allclose(usual_list_price(catalogue())[:5], [1, 2.5, 3, 4, np.nan])
    found = resolve(cut(), costs={"11": 0.3}, margin=0.2)
    np.testing.assert_allclose(found.cost[:5], [0.3, 2.0, 2.4, 3.2, np.nan])
    found = resolve(cut(), costs={"11": 0.3})
    assert np.isfinite(found.cost).tolist() == [True] + [False] * 7


def test_a_new_product_has_a_cost_too():
    new = {"kind": "new_product", "name": "mint", "price": 2.0, "like": [11]}
    assert resolve(new, margin=0.25).cost[8] == pytest.approx(1.5)
    assert resolve(new, costs={"mint": 0.7}).cost[8] == pytest.approx(0.7)


def test_segments_have_a_label_for_every_customer():
    found = resolve(cut(), segment_by="income").segments
    assert found.name == "income"
    assert [found.label[code] for code in found.of_customer] == ["Low", "High", "unknown", "Low"]
    assert found.label[-1] == "unknown"
    assert len(set(found.label)) == 3


def test_the_category_is_named_or_that_of_the_first_product_or_the_default():
    assert resolve(cut(), category=None).category == TEA
    assert resolve(cut(22), category=None).category == COLA
    assert resolve(cut("green tea  20 ct"), category=None).category == TEA
    assert resolve({"kind": "sales_tax", "rate": 0.1, "products": [11]}, category=None).category == TEA
    assert resolve({"kind": "sales_tax", "rate": 0.1}, category=None).category == COLA
    assert resolve(cut()).weeks == (44,)  # the last known week


def test_a_scenario_without_a_name_is_called_by_its_changes():
    assert resolve(cut()).name == "price BLACK TEA 20 CT (11)"
    assert resolve(cut(), name="Cheap tea").name == "Cheap tea"


REFUSALS = [
    (cut(99), {}, "change 1 (price): product '99' is unknown in 'TEA'."),
    (cut("cola  2 l"), {}, "product 'cola  2 l' (COLA 2 L) belongs to 'COLA', not to 'TEA'"),
    (cut("HERB TEA"), {"category": None}, "'HERB TEA' stands in 2 categories; say which with"),
    ({**MINT, "name": "11", "like": [11]}, {}, "there is a product '11' already; choose another name."),
    (cut("GREN TEA 20 CT"), {}, "Did you mean"),
    (cut("Herb tea"), {}, "2 products of 'TEA' are called 'Herb tea'; name one by its key"),
    (cut("Herb tea"), {}, "for example '14', '15'."),
    (cut(21), {}, "product '21' (COLA 2 L) belongs to 'COLA', not to 'TEA'"),
    (cut(31), {}, "product '31' (BAG) belongs to no choice category, not to 'TEA'"),
    (cut(weeks=[43]), {}, "change 1 (price): week 43 is not one of the scenario's weeks"),
    (cut(stores=[9]), {}, "change 1 (price): store '9' is unknown."),
    (cut(), {"weeks": [44, 45]}, "[scenario] weeks = [44, 45] should lie between 41 and 44"),
    (cut(), {"weeks": [40, 44]}, "[scenario] weeks = [40, 44] should lie between 41 and 44"),
    (cut(), {"category": "TEE"}, "category 'TEE' is no choice category of 'tea house'. Did you mean 'TEA'?"),
    (cut(), {"segment_by": "incom"}, "has no column 'incom'. Did you mean 'income'?"),
    (cut(), {"segment_by": "zzz"}, "has no column 'zzz'. The columns are: income, size."),
    (cut(), {"costs": {"99": 1.0}}, "[costs]: product '99' is unknown in 'TEA'."),
    (
        {"kind": "schedule", "product": 11, "prices": {"42": 1.0}}, {},
        "change 1 (schedule): week 42 is not one of the scenario's weeks",
    ),
    (
        {"kind": "income", "relative": 0.1, "segment": {"column": "income", "values": ["Hihg"]}}, {},
        "'income' has no value 'Hihg'. Did you mean 'High'?",
    ),
    (
        {"kind": "income", "relative": 0.1, "segment": {"column": "size", "values": [9]}}, {},
        "'size' has no value '9'. Its values are: 1, 2, 5.",
    ),
    (
        {"kind": "rivals", "product": 11, "relative": -0.1, "rivals": [11], "pass_through": 1.0}, {},
        "cannot follow its own price",
    ),
    (
        {**MINT, "brand": "privat"}, {},
        "no product of the category has the brand 'privat'. Did you mean 'private'?",
    ),
    ({**MINT, "size": "big"}, {}, "the size 'big' cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "more", "sentence"), REFUSALS)
def test_a_wrong_name_is_refused_with_a_sentence(change, more, sentence):
    assert sentence in refused(change, **more)


def test_data_without_attributes_of_customers_has_no_segments():
    people = pl.DataFrame({"customer": [1, 2, 3, 4]})
    assert "has no attributes of customers; import a customers table" in refused(
        cut(), segment_by="income", people=people
    )


def test_the_change_is_counted_from_one():
    assert refused(cut(), cut(99)).startswith("change 2 (price): ")


def test_a_stock_is_limited_once():
    stock = {"kind": "limited_stock", "product": 12, "units": 500}
    assert "limited twice" in refused(stock, stock)


# ---- what makes no sense together or nowhere ----

STANDING = {week: np.array([0, 1, 2] if week == 44 else [0, 1, 3]) for week in (41, 42, 43, 44)}


def nonsense(*changes: dict, **scenario) -> str:
    asked = resolve(*changes, **scenario)
    called = name_of(catalogue(), asked.newcomers)
    with pytest.raises(ConfigError) as caught:
        require_sense(asked, STANDING, called.__getitem__)
    return str(caught.value)


def test_what_stands_on_shelves_is_counted_by_week_and_category():
    """Store 0 has teas 0 and 3, store 1 has teas 0 and 1; a cola stands on the third shelf."""
    shelf = Shelf(
        np.array([[0, 2], [1, -1]], np.int32), np.array([[0, 3], [0, 1], [5, -3]], np.int32),
        *(np.zeros((3, 2), np.float32) for _ in range(2)), np.zeros((3, 2), np.uint8),
        np.zeros((3, 2), np.int32),
    )  # fmt: skip
    assert standing_products({9: shelf}, TEA, [9])[9].tolist() == [0, 1, 3]
    assert standing_products({9: shelf}, COLA, [9])[9].tolist() == [5]


def test_a_product_on_no_shelf_is_refused_unless_it_enters():
    sentence = 'HERB TEA (14) stands on no shelf in week 44; bring it in with kind = "enter"'
    assert sentence in nonsense(cut(14))
    enter = {"kind": "enter", "product": 14, "price": 2.0}
    require_sense(resolve(enter, {"kind": "display", "product": 14}), STANDING, str)
    require_sense(resolve(cut(14, weeks=[43]), weeks=[43, 44]), STANDING, str)
    assert "stands on no shelf" in nonsense(cut(14, weeks=[44]), weeks=[43, 44])


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "rivals", "product": 11, "relative": -0.1, "rivals": [14], "pass_through": 1.0},
        {"kind": "new_product", "name": "mint", "price": 2.5, "like": [14]},
        {"kind": "sales_tax", "rate": 0.1, "products": [14]},
        {"kind": "preference", "product": 14, "shift": 0.1},
        {"kind": "limited_stock", "product": 14, "units": 5},
        {"kind": "delist", "product": 14},
    ],
)
def test_every_kind_that_needs_a_shelf_is_looked_at(change):
    assert "HERB TEA (14) stands on no shelf in week 44" in nonsense(change)


POOR = {"column": "income", "values": ["Low"]}
RICH = {"column": "income", "values": ["High"]}
TAX = {"kind": "sales_tax", "rate": 0.1}
MORE = {"kind": "sales_tax", "rate": 0.2}
STOCK = {"kind": "limited_stock", "product": 11, "units": 5}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"kind": "sales_tax", "rate": 0.1}, {"kind": "sales_tax", "rate": 0.2, "products": [11]}),
        ({"kind": "subsidy", "rate": 0.1}, {"kind": "subsidy", "rate": 0.2, "segment": POOR}),
        ({"kind": "income", "relative": 0.1, "segment": POOR}, {"kind": "income", "relative": 0.2}),
        (
            {"kind": "preference", "product": 11, "shift": 0.1},
            {"kind": "preference", "product": 11, "shift": 0.2, "segment": RICH},
        ),
    ],
)
def test_two_policies_of_a_kind_on_the_same_contradict_each_other(one, two):
    assert "changes 1 and 2 contradict each other: both speak of the same products" in nonsense(one, two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({**TAX, "products": [12]}, {**MORE, "products": [11]}),
        ({**TAX, "stores": [7]}, {**MORE, "stores": [8]}),
        (
            {"kind": "subsidy", "rate": 0.1, "segment": RICH},
            {"kind": "subsidy", "rate": 0.2, "segment": POOR},
        ),
        (TAX, {"kind": "subsidy", "rate": 0.2}),
        (cut(), MORE),
        ({"kind": "stock_out", "product": 11, "stores": [7]}, STOCK),
        ({"kind": "delist", "product": 11}, MORE),
    ],
)  # fmt: skip
def test_what_does_not_meet_or_goes_together_is_accepted(one, two):
    require_sense(resolve(one, two), STANDING, str)


def test_contradicting_edits_name_the_product():
    said = nonsense({"kind": "delist", "product": 11}, cut(11))
    assert "changes 1 and 2 contradict each other: both speak of BLACK TEA 20 CT (11)" in said


def test_the_stock_of_a_product_that_is_gone_is_not_limited():
    stock = {"kind": "limited_stock", "product": 11, "units": 5}
    assert "BLACK TEA 20 CT (11) is taken off every shelf and its stock is limited" in nonsense(
        {"kind": "delist", "product": 11}, stock
    )


def test_a_new_product_is_not_dearer_than_a_cap_on_everything():
    new = {"kind": "new_product", "name": "mint", "price": 2.5, "like": [11]}
    assert "the new product 'mint' costs 2.50, above the cap of 2.00" in nonsense(
        new, {"kind": "cap", "cap": 2}
    )
    require_sense(resolve(new, {"kind": "cap", "cap": 2, "products": [12]}), STANDING, str)
    require_sense(resolve(new, {"kind": "cap", "cap": 2.5}), STANDING, str)
