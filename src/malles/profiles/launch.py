"""Features for a category without a past: prices, promotion, attributes, and behaviour in other categories.

Nothing here looks at a line of the occasion's category (with `hide="group"`: of its whole group);
deleting all
of them leaves every number equal to the last bit. All sums are over strictly earlier weeks (the shop) or
seconds
(the customer). See `docs/method/launch.md`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped
from numpy import ndarray

from malles.profiles.launch_history import TRAITS, UNIT, PastOfShop, pair
from malles.profiles.launch_kernels import crowding, slate_position
from malles.vocabulary import Catalogue, ChoiceData, Occasions, Promotion, Regime

Hide = Literal["category", "group"]
Within = Literal["all", "group", "department"]
Source = Literal["contests", "customer", "shop"]
WITHINS: tuple[Within, ...] = ("all", "group", "department")
Table = Float32[ndarray, "occasion alternative"]


def build_launch_features(
    catalogue: Catalogue, occasions: Occasions, *, hide: Hide = "category"
) -> ChoiceData:
    """Features of every alternative that need no sales history of its category.

    Args:
        catalogue: the data set; lines of the occasion's category are never read for it.
        occasions: slates with inferred prices and announced promotions; `rank` and `chosen` are not read.
        hide: what counts as unseen: the choice category, or (strict) its whole group.

    Returns:
        ChoiceData of regime LAUNCH. Columns without a product hold zero.
    """
    return LaunchProfiles(catalogue, hide=hide).build(occasions)


class LaunchProfiles:
    """A catalogue prepared for launch features, for callers that build many batches."""

    def __init__(self, catalogue: Catalogue, *, hide: Hide = "category") -> None:
        self.catalogue = catalogue
        self.past = PastOfShop(catalogue)
        self.hide = hide

    def build(self, occasions: Occasions) -> ChoiceData:
        """Features of one batch of occasions (`build_launch_features`)."""
        slate = _Slate(self.past, occasions, self.hide)
        offer = _offer_features(slate)
        customer = _customer_traits(slate)
        features = {
            **offer,
            **_strength_features(slate),
            **_store_features(slate),
            **_taste_features(slate),
            **_matches(slate, offer, customer),
        }
        stacked = np.zeros((*slate.present.shape, len(features)), np.float32)
        for k, feature in enumerate(features.values()):
            stacked[:, :, k] = np.where(slate.present, feature, 0)
        context = np.stack(list(customer.values()), axis=1).astype(np.float32)
        names = tuple(customer)
        return ChoiceData(occasions, stacked, tuple(features), context, names, Regime.LAUNCH, self.catalogue)


class _Slate:
    """Occasions with the codes that every feature below needs."""

    def __init__(self, past: PastOfShop, occasions: Occasions, hide: Hide) -> None:
        self.past, self.occasions = past, occasions
        products, cells = past.products, past.cells
        self.present: Bool[ndarray, "occasion alternative"] = (occasions.product >= 0) & occasions.available
        self.product = np.where(self.present, occasions.product, 0)
        self.cell = occasions.category.astype(np.int64)[:, None]
        self.group = cells.group[occasions.category].astype(np.int64)[:, None]
        self.department = cells.department[occasions.category].astype(np.int64)[:, None]
        self.manufacturer = np.where(self.present, products.manufacturer[self.product], -1)
        self.size = np.where(self.present, products.size[self.product], -1)
        self.private_label = products.private_label[self.product] & self.present
        self.customer = occasions.customer.astype(np.int64)[:, None]
        self.hide_group = hide == "group"
        self.hidden = self.group if self.hide_group else self.cell
        self.cells, self.wide = cells, max(len(cells), int(cells.department.max(initial=0)) + 1)

    def elsewhere(
        self,
        past_key: Shaped[ndarray, " line"],
        query_key: Shaped[ndarray, "occasion query"],
        *,
        source: Source,
        within: Within = "all",
    ) -> Float32[ndarray, "occasion query value"]:
        """Sums by key outside the hidden category, over all cells or those of the same group or
        department.
        """
        cell, past, time = self.past.cell, self.past.household_past, self.occasions.timestamp
        if source == "contests":
            _, cell, past = self.past.contests
        elif source == "shop":
            past = self.past.shop_past
        if source != "customer":
            time = self.occasions.week

        def sums(of_line: ndarray | None, of_query: ndarray) -> Int64[ndarray, "occasion query value"]:
            if of_line is None:
                return past.sums(past_key, query_key, time)
            return past.sums(pair(past_key, of_line, self.wide), pair(query_key, of_query, self.wide), time)

        hidden_of_line = self.cells.group[cell] if self.hide_group else cell
        if within == "group":
            if self.hide_group:
                return np.zeros((*query_key.shape, past.value.shape[1]), np.float32)
            total = sums(self.cells.group[cell], self.group)
        elif within == "department":
            total = sums(self.cells.department[cell], self.department)
        else:
            total = sums(None, self.cell)
        return np.asarray((total - sums(hidden_of_line, self.hidden)) / UNIT, np.float32)


def _offer_features(s: _Slate) -> dict[str, ndarray]:
    """What stands on the shelf label and in the mailer, absolute and against the rest of the slate."""
    o, p, products = s.occasions, s.present, s.past.products
    log_price = np.where(p, np.log(np.maximum(o.price, 0.01)), 0).astype(np.float32)
    log_list = np.where(p, np.log(np.maximum(o.list_price, 0.01)), 0).astype(np.float32)
    discount = np.where(p, np.clip(1 - o.price / np.maximum(o.list_price, 0.01), 0, 0.9), 0).astype(
        np.float32
    )
    amount = products.amount[s.product]
    known = p & np.isfinite(amount) & (amount > 0)
    log_amount = np.where(known, np.log(np.where(known, amount, 1.0)), 0).astype(np.float32)
    mean_amount = log_amount.sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
    log_amount = np.where(known, log_amount, mean_amount).astype(
        np.float32
    )  # unknown: as the slate's known ones
    unit = np.where(p, log_price - log_amount, 0).astype(np.float32)
    unit_list = np.where(p, log_list - log_amount, 0).astype(np.float32)
    bits = {bit: (p & ((o.promotion & bit) > 0)).astype(np.float32) for bit in Promotion}
    week = np.minimum(o.week.astype(np.int64), len(s.past.chain_promotion) - 1)[:, None]
    chain = s.past.chain_promotion[week, s.product]
    crowd = crowding(p, log_price, s.manufacturer, s.size)
    lowest = np.where(p, log_price, np.inf).min(1, keepdims=True)
    lowest_unit = np.where(p, unit, np.inf).min(1, keepdims=True)
    display, mailer = bits[Promotion.DISPLAY], bits[Promotion.MAILER]
    promoted = np.maximum(display, mailer)
    return {
        "log_price": log_price,
        "log_list_price": log_list,
        "log_unit_price": unit,
        "log_unit_list_price": unit_list,
        "log_amount": log_amount,
        "amount_known": known.astype(np.float32),
        "discount": discount,
        "discounted": (discount > 0.05).astype(np.float32),
        "saving": np.log1p(np.where(p, np.maximum(o.list_price - o.price, 0), 0)),
        "price_position": slate_position(p, log_price),
        "list_price_position": slate_position(p, log_list),
        "unit_price_position": slate_position(p, unit),
        "amount_position": slate_position(p, log_amount),
        "discount_position": slate_position(p, discount),
        "gap_to_cheapest": np.where(p, np.minimum(log_price - lowest, 2), 0),
        "gap_to_cheapest_unit": np.where(p, np.minimum(unit - lowest_unit, 2), 0),
        "is_cheapest": (p & (log_price <= lowest + 1e-6)).astype(np.float32),
        "display": display,
        "mailer": mailer,
        "mailer_page": bits[Promotion.MAILER_PAGE],
        "coupon": bits[Promotion.COUPON],
        "chain_display": chain[:, :, 0],
        "chain_mailer": chain[:, :, 1],
        "chain_mailer_page": chain[:, :, 2],
        "discount_x_promoted": discount * promoted,
        "only_promoted": promoted / np.maximum(promoted.sum(1, keepdims=True), 1),
        "private_label": s.private_label.astype(np.float32),
        "manufacturer_unknown": (p & (s.manufacturer < 0)).astype(np.float32),
        "size_unknown": (p & (s.size < 0)).astype(np.float32),
        "same_manufacturer": np.log1p(crowd[:, :, 0]),
        "same_size": np.log1p(crowd[:, :, 1]),
        "same_manufacturer_size": np.log1p(crowd[:, :, 2]),
        "same_manufacturer_price": np.log1p(crowd[:, :, 3]),
        "same_price": np.log1p(crowd[:, :, 4]),
        "nearest_price": crowd[:, :, 5],
    }


def _strength_features(s: _Slate) -> dict[str, ndarray]:
    """Wins against expected wins of the manufacturer, the size and both together, in other categories'
    contests.
    """
    product, _, _ = s.past.contests
    products = s.past.products
    sizes = int(products.size.max(initial=0)) + 1
    keys = {
        "manufacturer": (products.manufacturer[product], s.manufacturer),
        "size": (products.size[product], s.size),
        "manufacturer_size": (
            pair(products.manufacturer[product], products.size[product], sizes),
            pair(s.manufacturer, s.size, sizes),
        ),
    }
    out: dict[str, ndarray] = {}
    for name, (of_row, of_query) in keys.items():
        for within in WITHINS:
            if name == "manufacturer_size" and within == "department":
                continue
            total = s.elsewhere(of_row, of_query, source="contests", within=within)
            wins, expected = total[:, :, 1], total[:, :, 2]
            out[f"{name}_strength_{within}"] = np.log((wins + 10) / (expected + 10))
            if within == "all":
                out[f"{name}_volume"] = np.log1p(wins)
                out[f"{name}_presence"] = np.log1p(total[:, :, 0])
                out[f"{name}_discounted"] = (total[:, :, 3] + 2) / (wins + 10)
            elif within == "group":
                out[f"{name}_in_group"] = np.log1p(expected)
    label = products.private_label[product].astype(np.int64)
    of_query = s.private_label.astype(np.int64)
    for within in WITHINS[1:]:
        total = s.elsewhere(label, of_query, source="contests", within=within)
        out[f"label_strength_{within}"] = np.log((total[:, :, 1] + 10) / (total[:, :, 2] + 10))
    return out


def _customer_traits(s: _Slate) -> dict[str, ndarray]:
    """How the customer buys in other categories: label, discount, announced promotion, price tier,
    amounts.
    """
    at = {name: k for k, name in enumerate(TRAITS)}
    customer = s.past.lines.customer
    out: dict[str, ndarray] = {}
    for within in WITHINS:
        shrink = {"all": 20.0, "department": 10.0, "group": 5.0}[within]
        total = s.elsewhere(customer, s.customer, source="customer", within=within)[:, 0]
        count = total[:, at["rated"]]
        if within == "all":
            out["lines"] = np.log1p(total[:, at["count"]])
        for name in ("private_label", "discount", "display", "mailer"):
            expected = total[:, at[f"{name}_expected"]]
            prior = shrink * 0.2  # a fifth of the lines is the usual size of these shares
            out[f"{name}_{within}"] = np.log((total[:, at[name]] + prior) / (expected + prior))
        out[f"price_tier_{within}"] = total[:, at["price_deviation"]] / (count + shrink)
        known = total[:, at["amount_known"]] + shrink
        out[f"unit_price_tier_{within}"] = total[:, at["unit_price_deviation"]] / known
        out[f"amount_tier_{within}"] = total[:, at["amount_deviation"]] / known
    return out


def _taste_features(s: _Slate) -> dict[str, ndarray]:
    """The customer's lines of the manufacturer and of the size in other categories, against everybody's."""
    lines, products = s.past.lines, s.past.products
    out: dict[str, ndarray] = {}
    for name, codes, of_query in (
        ("manufacturer", products.manufacturer, s.manufacturer),
        ("size", products.size, s.size),
    ):
        of_line = codes[lines.product]
        width = int(codes.max(initial=0)) + 1
        own_key = pair(lines.customer, of_line, width)
        for within in WITHINS:
            weight = {"all": 30.0, "department": 15.0, "group": 8.0}[within]
            if name == "size" and within == "department":
                continue
            own = s.elsewhere(own_key, pair(s.customer, of_query, width), source="customer", within=within)[
                :, :, 0
            ]
            mine = s.elsewhere(lines.customer, s.customer, source="customer", within=within)[:, :, 0]
            everyone = s.elsewhere(of_line, of_query, source="customer", within=within)[:, :, 0]
            nothing = np.zeros((len(lines),), np.int64)
            of_all = s.elsewhere(nothing, np.zeros_like(s.customer), source="customer", within=within)[
                :, :, 0
            ]
            share = (everyone + 0.5) / (of_all + 50)
            out[f"own_{name}_{within}"] = np.log((own + weight * share) / (share * (mine + weight)))
            out[f"own_{name}_count_{within}"] = np.log1p(own)
    return out


def _store_features(s: _Slate) -> dict[str, ndarray]:
    """The store's lines of the manufacturer and of the label in other categories, against the chain's."""
    lines, products, o = s.past.lines, s.past.products, s.occasions
    store = o.store.astype(np.int64)[:, None]
    of_store = s.elsewhere(lines.store, store, source="shop")[:, :, 0]
    nothing = np.zeros(len(lines), np.int64)
    of_chain = s.elsewhere(nothing, np.zeros_like(store), source="shop")[:, :, 0]
    out: dict[str, ndarray] = {}
    for name, codes, of_query in (
        ("manufacturer", products.manufacturer, s.manufacturer),
        ("label", products.private_label.astype(np.int32), 1 * s.private_label),
    ):
        of_line, width = codes[lines.product], int(codes.max(initial=0)) + 1
        key, query = pair(lines.store, of_line, width), pair(store, of_query, width)
        here = s.elsewhere(key, query, source="shop")[:, :, 0]
        share = (s.elsewhere(of_line, of_query, source="shop")[:, :, 0] + 0.5) / (of_chain + 50)
        out[f"store_{name}"] = np.log((here + 200 * share) / (share * (of_store + 200)))
    return out


def _matches(s: _Slate, offer: dict[str, ndarray], customer: dict[str, ndarray]) -> dict[str, ndarray]:
    """Products of what an alternative is (against its slate) and what the customer likes elsewhere."""
    number = np.maximum(s.present.sum(1, keepdims=True), 1).astype(np.float32)

    def centred(name: str) -> Table:
        value = offer[name].astype(np.float32)
        return np.asarray(value - np.where(s.present, value, 0).sum(1, keepdims=True) / number)

    liked = {
        "private_label": ("private_label",),
        "discount": ("discount", "discount_x_promoted"),
        "display": ("display", "chain_display"),
        "mailer": ("mailer", "chain_mailer"),
        "price_tier": ("log_list_price",),
        "unit_price_tier": ("log_unit_list_price",),
        "amount_tier": ("log_amount",),
    }
    out: dict[str, ndarray] = {}
    for within in ("all", "department", "group"):
        for trait, names in liked.items():
            for name in names:
                out[f"{name}_for_{trait}_{within}"] = centred(name) * customer[f"{trait}_{within}"][:, None]
    return out
