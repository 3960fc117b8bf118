"""From the names of a scenario file to codes, with a sentence for every name that does not exist."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from malles.config import scenario_changes as tables
from malles.config.scenario_file import ScenarioFile, ScenarioTable
from malles.data.sizes import read_amount
from malles.errors import ConfigError, did_you_mean
from malles.scenarios.changes import Change, Delist, Display, Mailer, PriceChange
from malles.scenarios.newcomer import Newcomer
from malles.scenarios.policy import IncomeShift, Policy, PreferenceShift, Reach, SalesTax, Subsidy
from malles.scenarios.products import usual_list_price
from malles.scenarios.rehearsal import Segments
from malles.scenarios.shelf_changes import Discount, Enter, PriceCap, PriceSchedule, RivalsFollow
from malles.vocabulary import Catalogue

UNKNOWN = "unknown"
"""Segment of customers whose attribute is missing."""
LIKES = 3
"""Products that a new one is like, at most, when none are named."""
SHOWN = 3
"""Keys shown where a text names several products."""


@dataclass(frozen=True)
class Resolved:
    """A scenario in codes."""

    name: str
    category: int
    weeks: tuple[int, ...]
    changes: tuple[Change, ...]
    """Edits of the shelf: caps last."""
    policies: tuple[Policy, ...]
    newcomers: tuple[tuple[int, Newcomer], ...]
    stock: dict[int, int]
    cost: Float[ndarray, " product"]
    """Per unit; NaN = unknown."""
    segments: Segments | None
    products: tuple[int, ...]
    """Products named in changes, in order: what the answer is about."""


def resolve_scenario(
    file: ScenarioFile, catalogue: Catalogue, known_weeks: tuple[int, int], default_category: int
) -> Resolved:
    """Every name of a file as a code.

    Args:
        file: the scenario.
        catalogue: names behind the codes.
        known_weeks: first and last week whose shelves are known; without weeks of its own, a scenario is
            about the last.
        default_category: category of a scenario that names neither category nor product.

    Raises:
        ConfigError: an unknown or ambiguous name, a week or store that does not exist.
    """
    first, last = file.scenario.weeks or (known_weeks[1], known_weeks[1])
    if first > last or first < known_weeks[0] or last > known_weeks[1]:
        raise ConfigError(
            f"[scenario] weeks = [{first}, {last}] should lie between {known_weeks[0]} and {known_weeks[1]}, "
            "the weeks whose shelves the run knows, the first one first."
        )
    names = _Names(file, catalogue, tuple(range(first, last + 1)), default_category)
    numbered = [(f"change {number} ({change.kind})", change) for number, change in enumerate(file.change, 1)]
    for where, change in numbered:
        names.bring_in(change, where)
    for where, change in numbered:
        names.read(change, where)
    return names.resolved()


@dataclass
class _Names:
    """The scenario read so far."""

    file: ScenarioFile
    catalogue: Catalogue
    weeks: tuple[int, ...]
    default_category: int
    changes: list[Change] = field(default_factory=list)
    caps: list[Change] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    newcomers: list[tuple[int, Newcomer]] = field(default_factory=list)
    stock: dict[int, int] = field(default_factory=dict)
    named: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        products = self.catalogue.products
        self.keys = {str(key): code for code, key in enumerate(products.key)}
        self.texts = products.text.to_list()
        self.category = self._find_category()

    def _find_category(self) -> int:
        names, asked = self.catalogue.category_name, self.file.scenario.category
        if asked is None:
            return self._category_of_products()
        if asked not in names:
            near = [name for name in names if asked.casefold() in name.casefold()]
            some = ", ".join(repr(name) for name in (near or names)[:SHOWN])
            hint = did_you_mean(asked, names) or (
                f"These hold the word: {some}." if near else f"It has {len(names)}, for example {some}."
            )
            raise ConfigError(
                f"[scenario] category {asked!r} is no choice category of {self.catalogue.name!r}. {hint}"
            )
        return names.index(asked)

    def _category_of_products(self) -> int:
        """The category of the first product named, else the default one."""
        names = self.catalogue.category_name
        for number, change in enumerate(self.file.change, start=1):
            one, several = getattr(change, "product", None), getattr(change, "products", None)
            several = several if isinstance(several, tuple) else getattr(change, "like", None)
            for name in (several or ()) if one is None else (one,):
                found = self.catalogue.products.category[self.called(name)]
                codes = sorted({int(code) for code in found if code >= 0})
                if len(codes) > 1:
                    some = ", ".join(repr(names[code]) for code in codes[:SHOWN])
                    raise ConfigError(
                        f"change {number} ({change.kind}): {name!r} stands in {len(codes)} categories; "
                        f"say which with [scenario] category, for example {some}."
                    )
                if codes:
                    return codes[0]
        return self.default_category

    def called(self, name: str) -> list[int]:
        """Codes of all products with this key or, without one, this text."""
        if name in self.keys:
            return [self.keys[name]]
        return [code for code, text in enumerate(self.texts) if _plain(text) == _plain(name)]

    def product(self, name: str, where: str) -> int:
        """The code of a product named by its key or its text."""
        new = {newcomer.name: code for code, newcomer in self.newcomers}
        if name in new:
            return new[name]
        category = self.catalogue.products.category
        title = self.catalogue.category_name[self.category]
        called = self.called(name)
        found = [code for code in called if category[code] == self.category]
        if len(found) == 1:
            return found[0]
        if called and not found:
            homes = sorted({int(category[code]) for code in called if category[code] >= 0})
            home = ", ".join(repr(self.catalogue.category_name[code]) for code in homes[:SHOWN])
            raise ConfigError(
                f"{where}: product {name!r} ({self.texts[called[0]]}) belongs to "
                f"{home or 'no choice category'}, not to {title!r}; one scenario speaks of one category."
            )
        if found:
            some = ", ".join(repr(str(self.catalogue.products.key[code])) for code in found[:SHOWN])
            raise ConfigError(
                f"{where}: {len(found)} products of {title!r} are called {name!r}; name one by its key, for "
                f"example {some}."
            )
        here = np.flatnonzero(category == self.category)
        local = {str(self.catalogue.products.key[int(code)]): self.texts[code] for code in here}
        hint = did_you_mean(name, [*local, *dict.fromkeys(local.values())]) or (
            f"It has {len(local)} products, for example "
            + ", ".join(f"{key!r} ({text})" for key, text in list(local.items())[:SHOWN]) + "."
        )  # fmt: skip
        raise ConfigError(f"{where}: product {name!r} is unknown in {title!r}. {hint}")

    def several(self, names: tuple[str, ...] | None, where: str) -> tuple[int, ...] | None:
        """Codes of products; None stays None."""
        return None if names is None else tuple(self.product(name, where) for name in names)

    def when(self, change: object, where: str) -> tuple[int, ...] | None:
        """Weeks of a change, all of them weeks of the scenario."""
        weeks: tuple[int, ...] | None = getattr(change, "weeks", None)
        self.inside(weeks or (), where)
        return weeks

    def inside(self, weeks: tuple[int, ...], where: str) -> None:
        """Refuse weeks that are not the scenario's."""
        outside = [week for week in weeks if week not in self.weeks]
        if outside:
            raise ConfigError(
                f"{where}: week {outside[0]} is not one of the scenario's weeks {self.weeks[0]} to "
                f"{self.weeks[-1]}; widen [scenario] weeks or leave it out."
            )

    def at(self, change: object, where: str) -> tuple[int, ...] | None:
        """Codes of the stores of a change."""
        stores: tuple[str, ...] | None = getattr(change, "stores", None)
        if stores is None:
            return None
        known = {str(key): code for code, key in enumerate(self.catalogue.store_key)}
        for store in stores:
            if store not in known:
                raise ConfigError(
                    f"{where}: store {store!r} is unknown. {did_you_mean(store, known)}".rstrip()
                )
        return tuple(known[store] for store in stores)

    def customers(self, segment: tables.SegmentTable | None, where: str) -> Bool[ndarray, " customer"] | None:
        """Who belongs to a segment."""
        if segment is None:
            return None
        label, code = self._column(segment.column, where)
        for value in segment.values:
            if value not in label:
                hint = did_you_mean(value, label) or f"Its values are: {', '.join(label)}."
                raise ConfigError(f"{where}: {segment.column!r} has no value {value!r}. {hint}")
        return np.isin(code, [label.index(value) for value in segment.values])

    def _column(self, column: str, where: str) -> tuple[list[str], Int[ndarray, " customer"]]:
        table = self.catalogue.customers
        known = [name for name in table.columns if name != "customer"]
        if not known:
            raise ConfigError(
                f"{where}: {self.catalogue.name!r} has no attributes of customers; import a customers table."
            )
        if column not in known:
            hint = did_you_mean(column, known) or f"The columns are: {', '.join(known)}."
            raise ConfigError(f"{where}: the customers table has no column {column!r}. {hint}")
        values = [UNKNOWN if v is None else str(v) for v in table[column].to_list()]
        label = sorted(set(values), key=by_number)
        return label, np.array([label.index(v) for v in values])

    def bring_in(self, change: tables.ChangeTable, where: str) -> None:
        """A new product of the file, so that policies may name it."""
        if not isinstance(change, tables.NewProductTable):
            return
        if change.name in self.keys or change.name in (newcomer.name for _, newcomer in self.newcomers):
            raise ConfigError(f"{where}: there is a product {change.name!r} already; choose another name.")
        weeks, stores = self.when(change, where), self.at(change, where)
        code = len(self.catalogue.products) + len(self.newcomers)
        new = Newcomer(change.name, change.price, self.likes(change, where), change.appeal, weeks, stores)
        self.newcomers.append((code, new))

    def of_data(self, name: str, where: str) -> int:
        """The code of a product that is not new: an edit of a shelf cannot speak of a new one."""
        code = self.product(name, where)
        if code >= len(self.catalogue.products):
            raise ConfigError(
                f"{where}: {name!r} is new in this file; say what holds for it where it is brought in, with "
                'kind = "new_product".'
            )
        return code

    def read(self, change: tables.ChangeTable, where: str) -> None:
        """Add one change."""
        weeks, stores = self.when(change, where), self.at(change, where)
        product = -1
        if isinstance(change, tables.OfOneProduct | tables.ScheduleTable):
            any_product = isinstance(change, tables.PreferenceTable | tables.LimitedStockTable)
            product = (self.product if any_product else self.of_data)(change.product, where)
            self.named.append(product)
        match change:
            case tables.PriceTable():
                self.changes.append(PriceChange(product, change.relative, change.absolute, weeks, stores))
            case tables.ScheduleTable():
                prices = tuple(sorted((int(week), price) for week, price in change.prices.items()))
                self.inside(tuple(week for week, _ in prices), where)
                self.changes.append(PriceSchedule(product, prices, stores))
            case tables.DiscountTable():
                self.changes.append(Discount(product, change.depth, weeks, stores))
            case tables.DisplayTable():
                self.changes.append(Display(product, change.on, weeks, stores))
            case tables.MailerTable():
                self.changes.append(Mailer(product, change.on, weeks, stores))
            case tables.DelistTable() | tables.StockOutTable():
                self.changes.append(Delist(product, weeks, stores))
            case tables.LimitedStockTable():
                if product in self.stock:
                    raise ConfigError(f"{where}: the stock of this product is limited twice; leave one out.")
                self.stock[product] = change.units
            case tables.EnterTable():
                self.changes.append(Enter(product, change.price, change.list_price, weeks, stores))
            case tables.NewProductTable():
                self.named.append(self.product(change.name, where))
            case tables.RivalsTable():
                lead = PriceChange(product, change.relative, change.absolute, weeks, stores)
                rivals = tuple(self.of_data(name, where) for name in change.rivals)
                self.changes.append(RivalsFollow(lead, rivals, change.pass_through))
            case tables.CapTable():
                capped = None if change.products == "all" else change.products
                found = self.several(capped, where)
                if found is None:
                    every = np.flatnonzero(self.catalogue.products.category == self.category)
                    found = tuple(int(code) for code in every)
                self.caps.append(PriceCap(found, change.cap, weeks, stores))
            case tables.SalesTaxTable():
                reach = Reach(None, self.several(change.products, where), weeks, stores)
                self.policies.append(SalesTax(change.rate, change.pass_through, reach))
            case tables.SubsidyTable():
                reach = Reach(
                    self.customers(change.segment, where), self.several(change.products, where), weeks, stores
                )
                self.policies.append(Subsidy(change.rate, change.amount, reach))
            case tables.IncomeTable():
                reach = Reach(self.customers(change.segment, where), None, weeks, stores)
                self.policies.append(IncomeShift(change.relative, reach))
            case tables.PreferenceTable():
                reach = Reach(self.customers(change.segment, where), (product,), weeks, stores)
                self.policies.append(PreferenceShift(change.shift, reach))

    def likes(self, change: tables.NewProductTable, where: str) -> tuple[int, ...]:
        """Products that a new one is like: those named, else of its brand the ones with the nearest size."""
        if change.like is not None:
            return tuple(self.of_data(name, where) for name in change.like)
        products = self.catalogue.products
        same = np.flatnonzero(products.category == self.category)
        if change.brand is not None:
            own = products.private_label[same]
            wanted = change.brand.casefold()
            of_brand = {"private": own, "national": ~own}.get(
                wanted, np.array([wanted in self.texts[code].casefold().split() for code in same])
            )
            if not of_brand.any():
                words = {word for code in same for word in self.texts[code].casefold().split()}
                hint = did_you_mean(wanted, words) or 'Write "private", "national" or a word of a label.'
                raise ConfigError(
                    f"{where}: no product of the category has the brand {change.brand!r}. {hint}"
                )
            same = same[of_brand]
        gap = np.zeros(len(same))
        if change.size is not None:
            size = read_amount(change.size).value
            if not np.isfinite(size):
                raise ConfigError(f"{where}: the size {change.size!r} cannot be read; write it as on a label")
            gap = np.abs(np.log(products.amount[same].astype(float) / size))
        sold = np.bincount(self.catalogue.lines.product, minlength=len(products))[same]
        order = same[np.lexsort((-sold, np.nan_to_num(gap, nan=np.inf).round(6)))]
        return tuple(int(code) for code in order[:LIKES])

    def resolved(self) -> Resolved:
        """The whole scenario."""
        settings = self.file.scenario
        segments = None
        if settings.segment_by is not None:
            label, code = self._column(settings.segment_by, "[scenario] segment_by")
            segments = Segments(settings.segment_by, tuple(label), code)
        name = "; ".join(self._title(change) for change in self.file.change)
        if settings.name != ScenarioTable.model_fields["name"].default:
            name = settings.name
        return Resolved(
            name, self.category, self.weeks, (*self.changes, *self.caps), tuple(self.policies),
            tuple(self.newcomers), self.stock, self._costs(), segments, tuple(dict.fromkeys(self.named)),
        )  # fmt: skip

    def _title(self, change: tables.ChangeTable) -> str:
        about = getattr(change, "product", getattr(change, "name", "all products"))
        if about in self.keys:
            about = f"{self.texts[self.keys[about]]} ({about})"
        return f"{change.kind.replace('_', ' ')} {about}"

    def _costs(self) -> Float[ndarray, " product"]:
        """Cost by product; what neither has a cost nor a margin is NaN."""
        products = self.catalogue.products
        cost = np.full(len(products) + len(self.newcomers), np.nan)
        if self.file.scenario.margin is not None:
            cost[: len(products)] = (1 - self.file.scenario.margin) * usual_list_price(self.catalogue)
            for code, newcomer in self.newcomers:
                cost[code] = (1 - self.file.scenario.margin) * newcomer.price
        for key, value in self.file.costs.items():
            cost[self.product(key, "[costs]")] = value
        return cost


def by_number(label: str) -> tuple[bool, float, bool, str]:
    """Where a value stands in a table: by its first number, "Under 15K" before "15-24K", `UNKNOWN` last.

    >>> sorted(["unknown", "100-124K", "15-24K", "Under 15K", "Renter"], key=by_number)
    ['Under 15K', '15-24K', '100-124K', 'Renter', 'unknown']
    """
    number = re.search(r"\d+(\.\d+)?", label)
    below = label.casefold().startswith(("under", "below", "less", "<"))
    return label == UNKNOWN, float(number.group()) if number else np.inf, not below, label


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
