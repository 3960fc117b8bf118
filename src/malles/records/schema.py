"""Every table of a run by name; `docs/tables.md` is made from here, and what is written is checked by it."""

from __future__ import annotations

from malles.records.table import KINDS, Table, columns

_SIMULATION = (
    ("mode", "text", "'one_week_ahead' (the true past is remembered) or 'free_running' (the simulated one)"),
    ("trip_source", "text", "'data' (the real trips) or 'simulated' (drawn)"),
    ("week", "integer", "week of the data set, from 1"),
)
_CATEGORY = ("category", "text", "choice category, for example 'SOFT DRINKS | 2 LITER'")
_PRODUCT = ("product", "key", "product code")
_INTERVAL = (
    ("low", "number", "lower end of the 95 % interval"),
    ("high", "number", "upper end of the 95 % interval"),
)

GIVEN = "01-tables"
SIMULATED = "06-tables"
FOUND = "09-tables"

_TABLES = (
    Table(
        "transactions",
        GIVEN,
        "one order line that malles used: positive units and price, not an excluded department",
        columns(
            ("basket", "integer", "number of the basket; your order number where that is a whole number"),
            ("timestamp", "moment", "local wall-clock time"),
            ("week", "integer", "week of the data set, from 1"),
            ("customer", "key", "customer, household or firm"),
            ("store", "key", "store or channel"),
            _PRODUCT,
            ("category", "text", "choice category; null outside every choice category"),
            ("units", "integer", "units bought on this line"),
            ("price", "number", "net price per unit, in the currency of the data set"),
            ("list_price", "number", "regular price per unit, same currency"),
        ),
    ),
    Table(
        "products",
        GIVEN,
        "one product that occurs in the transactions",
        columns(
            _PRODUCT,
            ("category", "text", "choice category; null outside every choice category"),
            ("label", "text", "what a person reads on the product"),
            ("private_label", "flag", "whether it is the shop's own brand"),
            ("amount", "number", "size in its base unit; null where unknown"),
        ),
    ),
    Table(
        "customers",
        GIVEN,
        "one customer",
        columns(
            ("customer", "key", "customer, household or firm"),
            ("baskets", "integer", "baskets in the transactions"),
            ("spend", "number", "price times units over all transactions, in the currency of the data set"),
            ("first_week", "integer", "week of the first transaction; null without one"),
            ("last_week", "integer", "week of the last transaction; null without one"),
        ),
    ),
    Table(
        "trips",
        SIMULATED,
        "one simulated shopping trip, whether it bought anything or not",
        columns(
            *_SIMULATION,
            ("trip", "integer", "number of the trip, unique within mode, trip_source and week"),
            ("customer", "key", "customer, household or firm"),
            ("store", "key", "store or channel"),
            ("timestamp", "moment", "local wall-clock time"),
            ("units", "integer", "units drawn on the trip in all choice categories; 0 = bought nothing"),
        ),
    ),
    Table(
        "decisions",
        SIMULATED,
        "one product drawn for one trip; a category in which a trip bought nothing has no row",
        columns(
            *_SIMULATION,
            ("trip", "integer", "number of the trip, as in trips"),
            ("customer", "key", "customer, household or firm"),
            ("store", "key", "store or channel"),
            ("timestamp", "moment", "local wall-clock time"),
            _CATEGORY,
            ("product", "key", "product drawn; null = another product, outside the slate"),
            ("units", "integer", "units drawn"),
            ("price", "number", "net price per unit on the shelf; null = another product"),
            ("list_price", "number", "regular price per unit; null = another product"),
            ("display", "flag", "whether it stood on display; null = another product"),
            ("mailer", "flag", "whether it was in the mailer; null = another product"),
        ),
    ),
    Table(
        "category_week",
        SIMULATED,
        "one choice category in one simulated week",
        columns(
            *_SIMULATION,
            _CATEGORY,
            ("expected_units", "number", "expected units, all products of the category"),
            ("drawn_units", "integer", "units drawn"),
            ("actual_units", "number", "units really sold"),
            ("expected_purchases", "number", "expected trips that buy in the category"),
            ("other_units", "number", "part of expected_units outside the slates"),
            ("low", "number", "expected units less 1.96 standard deviations of weekly units, at least 0"),
            ("high", "number", "expected units plus 1.96 standard deviations of weekly units"),
        ),
    ),
    Table(
        "week_total",
        SIMULATED,
        "one simulated week, all choice categories together",
        columns(
            *_SIMULATION,
            ("trips", "integer", "trips"),
            ("expected_units", "number", "expected units"),
            ("drawn_units", "integer", "units drawn"),
            ("actual_units", "number", "units really sold"),
            (
                "low",
                "number",
                "expected units less 1.96 standard deviations, categories taken as independent",
            ),
            ("high", "number", "expected units plus 1.96 standard deviations, likewise"),
        ),
    ),
    Table(
        "product_week",
        SIMULATED,
        "one product in one simulated week in which it was expected, drawn or sold",
        columns(
            *_SIMULATION,
            _PRODUCT,
            _CATEGORY,
            (
                "expected_units",
                "number",
                "expected units, off its slates and outside them; units outside the slates of a category in "
                "which none were bought lately belong to no product",
            ),
            ("shelf_units", "number", "part of expected_units bought off a slate it stands on"),
            ("drawn_units", "integer", "units drawn off the slates"),
            ("actual_units", "integer", "units really sold"),
        ),
    ),
    Table(
        "mean_field",
        SIMULATED,
        "one product in the market state µ of one simulated week",
        columns(
            *_SIMULATION,
            _PRODUCT,
            _CATEGORY,
            (
                "solved_share",
                "number",
                "µ: share in its category that customers reacted to; null = no reaction",
            ),
            ("past_share", "number", "share over the weeks of the window that were over; null likewise"),
            ("long_share", "number", "share over the long window before; null likewise"),
            ("drawn_share", "number", "share in the units drawn off the slates in the week, [0, 1]"),
        ),
    ),
    Table(
        "category_field",
        SIMULATED,
        "one choice category in the market state of one simulated week, from the purchases drawn",
        columns(
            *_SIMULATION,
            _CATEGORY,
            (
                "category_share",
                "number",
                "share in the units drawn off the slates; sums to 1 over categories",
            ),
            ("mean_quantity", "number", "units per line; 1 where nothing was drawn"),
            ("price_index", "number", "units-weighted price paid over list price; 1 where nothing was drawn"),
            ("availability", "number", "share of stores with a slate of the category, [0, 1]"),
        ),
    ),
    Table(
        "fixed_point",
        SIMULATED,
        "one evaluation while the mean field of a week was solved",
        columns(
            *_SIMULATION,
            ("iteration", "integer", "number of the evaluation, from 1"),
            ("gap", "number", "largest difference between a share and its response; null = not finite"),
            ("status", "text", "how the week ended: SETTLED, ITERATION_LIMIT, DIVERGED or SEVERAL"),
            (
                "contraction",
                "number",
                "how much a difference shrinks per plain response; >= 1 need not settle",
            ),
            ("other_fields", "integer", "different fields that other starts ended in"),
        ),
    ),
    Table(
        "models",
        FOUND,
        "one choice model of the run",
        columns(
            ("model", "text", "name of the model"),
            ("language", "flag", "whether it reads words"),
            ("market", "flag", "whether it chooses in the simulated market"),
            ("best", "flag", "whether it has the lowest log-loss of the models on all held-out occasions"),
            ("reference", "flag", "whether differences are taken to it"),
        ),
    ),
    Table(
        "scores",
        FOUND,
        "one metric of one model on held-out weeks",
        columns(
            ("part", "text", "'choice', 'units', 'language' (a fixed sample of occasions) or 'market'"),
            ("model", "text", "name of the model or forecast"),
            ("metric", "text", "*_score: higher is better; *_loss, *_error, *_distance: lower is better"),
            ("value", "number", "value on the held-out rows"),
            *_INTERVAL,
        ),
    ),
    Table(
        "differences",
        FOUND,
        "one metric of one model less that of the reference, paired by customer",
        columns(
            ("part", "text", "as in scores"),
            ("model", "text", "name of the model"),
            ("reference", "text", "the model it is compared with"),
            ("metric", "text", "as in scores"),
            ("value", "number", "model less reference"),
            *_INTERVAL,
            ("verdict", "text", "'better', 'worse' or what the interval allows to say"),
        ),
    ),
    Table(
        "scenario_outcomes",
        FOUND,
        "one quantity of the run's what-if",
        columns(
            ("question", "text", "what was asked"),
            _PRODUCT,
            _CATEGORY,
            ("quantity", "text", "units, share, revenue, category_units or category_revenue"),
            ("base", "number", "in the base world"),
            ("scenario", "number", "in the changed world"),
            ("change", "number", "scenario less base"),
            ("low", "number", "lower end of the 95 % interval of the change"),
            ("high", "number", "upper end of the 95 % interval of the change"),
        ),
    ),
    Table(
        "scenario_sources",
        FOUND,
        "one place where additional units of the run's what-if came from",
        columns(
            ("question", "text", "what was asked"),
            ("source", "text", "a part (shelf, other, expansion) or the name of a product of the shelf"),
            ("kind", "text", "'part': share of the additional units; 'product': change in units"),
            ("value", "number", "the share or the change; null where nothing changed"),
            *_INTERVAL,
        ),
    ),
    Table(
        "price_response",
        FOUND,
        "one price of the product of the run's what-if, everything else as it is",
        columns(
            _PRODUCT,
            ("multiplier", "number", "price over today's price"),
            ("price", "number", "price per unit"),
            ("units", "number", "expected units"),
            ("units_low", "number", "lower end of the 95 % interval"),
            ("units_high", "number", "upper end of the 95 % interval"),
            ("share", "number", "share of its category, [0, 1]"),
            ("revenue", "number", "price times units"),
            ("elasticity", "number", "% change of units per % change of price, at this price"),
        ),
    ),
)

TABLES = {table.name: table for table in _TABLES}
"""Every table by name, in the order of the flow."""


_INTRODUCTION = """# The tables of a run

Every run leaves what it used, drew and found in Parquet files, to be asked with `malles query RUN "select …"`
(worked examples: [queries](queries.md)), from Python with `malles.query.open_run_tables`, or with any program
that reads Parquet. The same inputs give the same bytes. `01-tables` are written when a run begins,
`06-tables` with the simulated market, `09-tables` at the end.

Prices are net prices per unit in the data set's currency; shares lie in [0, 1]. Intervals of `category_week`
and `week_total` are of units sold in a week, from the spread seen on the calibration weeks one week ahead;
they do not grow with the weeks that a free run is ahead.

Written by `make docs` from `malles.records.schema`; do not edit."""


def describe_tables() -> str:
    """The page `docs/tables.md`."""
    lines = [
        *_INTRODUCTION.splitlines(),
        "",
        "| table | one row is |",
        "|---|---|",
        *(f"| [`{t.name}`](#{t.name}) | {t.row} |" for t in TABLES.values()),
    ]
    for table in TABLES.values():
        lines += ["", f"## {table.name}", "", f"`{table.file}`: {table.row}.", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{c.name}` | {KINDS[c.kind]} | {c.meaning} |" for c in table.columns]
    return "\n".join(lines) + "\n"
