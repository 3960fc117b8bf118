"""What a model may see of a choice occasion, from nothing that happened at or after it.

Two clocks keep the future out (`docs/method/features.md`):

    own history   lines of the deciding customer with a time strictly before the occasion's
    everyone else lines of weeks strictly before the occasion's, the deciding customer's own left out

Of the present a model sees prices, list prices, announced promotions and the calendar. No column compares
a price with an earlier price of the chain: an exact tie would tell that the price was carried forward because
nobody bought.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32, Int32, Int64
from numpy import ndarray

from malles.errors import OccasionError
from malles.profiles import others_kernels, own_kernels, state_kernels, taste_kernels
from malles.profiles.context import calendar_context, demographic_context
from malles.profiles.index import (
    DENSE_CELLS,
    Calendar,
    CustomerIndex,
    HistoryIndex,
    StoreIndex,
    build_calendar,
    build_customer_index,
    build_history_index,
    build_store_index,
)
from malles.profiles.taste import EVERY, Tastes, build_tastes
from malles.vocabulary import Catalogue, ChoiceData, Occasions, Regime

OTHERS_NAMES = others_kernels.OTHERS_NAMES
"""Columns of the regime `nohist`: the moment, and what other households did before."""

OWN_NAMES = own_kernels.OWN_NAMES + taste_kernels.TASTE_NAMES
"""Columns that `full` adds: the customer's own history, and others' moves from where it stands."""

PRICE_NAMES = others_kernels.PRICE_NAMES
"""Columns that `with_prices` computes anew."""

RECENT_WEIGHT = np.round(65536 * 2.0 ** (-np.arange(40) / 4)).astype(np.int64)
"""Weight of a line by its age in weeks, half-life 4; integers, so that own lines subtract exactly."""


@dataclass
class _State:
    """Aggregates over all lines of weeks before `week`."""

    week: int
    counts: Int32[ndarray, "product week"]
    on_display: Int32[ndarray, "product week"]
    on_mailer: Int32[ndarray, "product week"]
    households: Int64[ndarray, " product"]
    stay: Int64[ndarray, " product"]
    leave: Int64[ndarray, " product"]
    together: Int32[ndarray, " cell"]
    follow: Int32[ndarray, " cell"]


@dataclass
class FeatureStore:
    """A catalogue's lines indexed for features, with aggregates that move on as later weeks are asked for.

    Build it once and pass it to `build_features` when occasions arrive in many small batches. The answers
    do not depend on what was asked before.
    """

    catalogue: Catalogue
    history: HistoryIndex = field(init=False)
    stores: StoreIndex = field(init=False)
    customers: CustomerIndex = field(init=False)
    calendar: Calendar = field(init=False)
    _state: _State = field(init=False)

    def __post_init__(self) -> None:
        lines, table = self.catalogue.lines, self.catalogue.promotions
        self.weeks = int(max(lines.week.max(initial=0), table.week.max(initial=0))) + 2
        self.history = build_history_index(self.catalogue)
        self.stores = build_store_index(self.catalogue)
        self.customers = build_customer_index(self.catalogue)
        self.calendar = build_calendar(self.catalogue, self.weeks)
        size = np.diff(self.history.start)
        self._begin = np.repeat(self.history.start[:-1], size)
        self._by_week = np.argsort(self.history.week, kind="stable")
        self._week_bound = np.searchsorted(self.history.week[self._by_week], np.arange(self.weeks + 1))
        customer = np.repeat(self.history.segment // max(len(self.catalogue.category_name), 1), size)
        new = np.flatnonzero(self.history.first)
        new = new[np.lexsort((self.history.timestamp[new], customer[new]))]
        people = len(self.customers.start) - 1
        self._new_start = np.searchsorted(customer[new], np.arange(people + 1)).astype(np.int64)
        self._new_product, self._new_time = self.history.product[new], self.history.timestamp[new]
        self._tastes: tuple[int, Tastes] | None = None
        self._place_products()
        self._reset()

    def _place_products(self) -> None:
        """Give every product its row in the matrix of its category; the largest go without if need be."""
        category = self.catalogue.products.category
        size = np.bincount(category[category >= 0], minlength=len(self.catalogue.category_name)).astype(
            np.int64
        )
        order = np.argsort(size, kind="stable")
        fits = np.zeros(len(size), bool)
        fits[order] = np.cumsum(size[order] ** 2) <= DENSE_CELLS
        cells = np.where(fits, size**2, 0)
        first = np.concatenate([[0], np.cumsum(cells)])
        self._cells = int(first[-1])
        known = np.flatnonzero(category >= 0)
        by_category = known[np.argsort(category[known], kind="stable")]
        local = np.full(len(category), -1, np.int32)
        begin = np.concatenate([[0], np.cumsum(size)])[category[by_category]]
        local[by_category] = np.arange(len(by_category)) - begin
        self._local = local
        self._offset = np.where((category >= 0) & fits[category], first[category], -1).astype(np.int64)
        self._width = np.where(category >= 0, size[category], 0).astype(np.int32)

    def _reset(self) -> None:
        n, cells = len(self.catalogue.products), max(self._cells, 1)
        self._state = _State(
            week=0,
            counts=np.zeros((n, self.weeks), np.int32),
            on_display=np.zeros((n, self.weeks), np.int32),
            on_mailer=np.zeros((n, self.weeks), np.int32),
            households=np.zeros(n, np.int64),
            stay=np.zeros(n, np.int64),
            leave=np.zeros(n, np.int64),
            together=np.zeros(cells, np.int32),
            follow=np.zeros(cells, np.int32),
        )

    def _advance(self, week: int) -> _State:
        """The aggregates over all weeks before `week`."""
        if week < self._state.week:
            self._reset()
        state, history = self._state, self.history
        a, b = self._week_bound[min(state.week, self.weeks)], self._week_bound[min(week, self.weeks)]
        rows = self._by_week[a:b]
        state_kernels.count_weeks(
            history.week[rows],
            history.product[rows],
            history.promotion[rows],
            state.counts,
            state.on_display,
            state.on_mailer,
        )
        state_kernels.add_lines(
            rows,
            self._begin,
            history.product,
            history.trip,
            history.first,
            self._local,
            self._offset,
            self._width,
            state.households,
            state.stay,
            state.leave,
            state.together,
            state.follow,
        )
        state.week = week
        return state

    def _taste(self, week: int) -> Tastes:
        """Positions of products for occasions of `week`; the last ones asked for are kept."""
        past = week // EVERY * EVERY
        if self._tastes is None or self._tastes[0] != past:
            found = build_tastes(
                self.history,
                week=past,
                categories=max(len(self.catalogue.category_name), 1),
                customers=len(self.customers.start) - 1,
                products=len(self.catalogue.products),
            )
            self._tastes = (past, found)
        return self._tastes[1]

    def build(self, occasions: Occasions, regime: Regime = Regime.FULL) -> ChoiceData:
        """Features of occasions in the regimes `full` and `nohist`; see `build_features`."""
        n, J = occasions.shape
        own = regime is Regime.FULL
        names = OTHERS_NAMES + (OWN_NAMES if own else ())
        out = np.zeros((n, J, len(names)), np.float32)
        price_part, own_part = out, out[:, :, len(OTHERS_NAMES) :]
        context = np.zeros((n, len(own_kernels.CONTEXT_NAMES)), np.float32)
        others_kernels.price_columns(
            occasions.product,
            occasions.price,
            occasions.list_price,
            occasions.promotion,
            self.catalogue.products.amount,
            price_part,
        )
        products, history, people = self.catalogue.products, self.history, self.customers
        categories = max(len(self.catalogue.category_name), 1)
        ranges = np.zeros((n, 3), np.int64)
        others_kernels.find_ranges(
            occasions.customer,
            occasions.category,
            occasions.timestamp,
            occasions.week,
            categories,
            history.segment,
            history.start,
            history.timestamp,
            history.week,
            ranges,
        )
        place = np.full(len(products), -1, np.int32)
        slot = np.full(len(products), -1, np.int32)
        buyers = np.zeros(n, np.int64)
        segment_week = self.history.week[self.history.start[:-1]]
        segment_category = self.history.segment % categories
        popularity = out[:, :, OTHERS_NAMES.index("popularity")]
        for week in np.unique(occasions.week):
            rows = np.flatnonzero(occasions.week == week)
            state = self._advance(int(week))
            n2, n8, n_all, recent, last, by_category = self._weekly(state)
            begun = np.bincount(segment_category[segment_week < week], minlength=categories)
            buyers[rows] = begun[occasions.category[rows]] - (ranges[rows, 2] > ranges[rows, 0])
            calendar = self.calendar
            past = slice(0, min(int(week), self.weeks))
            column = min(int(week), self.weeks - 1)
            others_kernels.others_columns(
                rows, occasions.customer, occasions.store, occasions.category,
                np.minimum(occasions.week, column), occasions.product, ranges, categories,
                history.product, history.week, history.promotion, history.first, history.trip,
                self.stores.segment, self.stores.start, self.stores.product, self.stores.customer,
                self.stores.week, products.amount, products.private_label,
                state.counts, state.on_display.sum(axis=1), state.on_mailer.sum(axis=1),
                calendar.display, calendar.mailer,
                calendar.display_stores[:, past].sum(axis=1), calendar.mailer_stores[:, past].sum(axis=1),
                int(calendar.stores[past].sum()),
                n2, n8, n_all, recent, last, RECENT_WEIGHT, state.households, state.stay, state.leave,
                by_category, place, out,
            )  # fmt: skip
            if own:
                own_kernels.own_columns(
                    rows, occasions.customer, occasions.timestamp, occasions.product, occasions.price, ranges,
                    history.product, history.timestamp, history.quantity, history.price, history.discounted,
                    history.promotion, history.trip, people.start, people.timestamp, people.total,
                    people.manufacturer, people.manufacturer_time,
                    products.manufacturer, products.size, products.private_label,
                    self._local, self._offset, self._width, buyers,
                    state.households, state.leave, state.together, state.follow,
                    popularity, place, slot, history.longest, own_part, context,
                )  # fmt: skip
                tastes = self._taste(int(week))
                in_time = rows[np.lexsort((occasions.timestamp[rows], occasions.customer[rows]))]
                taste_kernels.taste_columns(
                    in_time, occasions.customer, occasions.timestamp, occasions.product, ranges,
                    history.product, history.first, self._new_start, self._new_product, self._new_time,
                    tastes.position, tastes.weight, own_part[:, :, len(own_kernels.OWN_NAMES) :],
                )  # fmt: skip
        when, when_names = calendar_context(occasions)
        who, who_names = demographic_context(self.catalogue, occasions)
        blocks, block_names = [when, who], when_names + who_names
        if own:
            blocks, block_names = [context, *blocks], own_kernels.CONTEXT_NAMES + block_names
        return ChoiceData(
            occasions=occasions,
            features=out,
            feature_names=names,
            context=np.concatenate(blocks, axis=1),
            context_names=block_names,
            regime=regime,
        )

    def _weekly(self, state: _State) -> tuple[ndarray, ...]:
        """Counts over the last 2 and 8 weeks and all weeks, decayed counts, last week sold, by category."""
        week = min(state.week, self.weeks)
        past = state.counts[:, :week]
        age = week - np.arange(week)
        weight = RECENT_WEIGHT[np.minimum(age, len(RECENT_WEIGHT) - 1)]
        n_all = past.sum(axis=1).astype(np.int64)
        last = np.where(n_all > 0, week - 1 - np.argmax(past[:, ::-1] > 0, axis=1) if week else 0, -1)
        category = self.catalogue.products.category
        known = category >= 0
        total = np.zeros(max(len(self.catalogue.category_name), 1), np.int64)
        np.add.at(total, category[known], n_all[known])
        return (
            past[:, max(week - 2, 0) :].sum(axis=1).astype(np.int64),
            past[:, max(week - 8, 0) :].sum(axis=1).astype(np.int64),
            n_all,
            past.astype(np.int64) @ weight,
            last.astype(np.int64),
            total,
        )


def build_features(
    catalogue: Catalogue,
    occasions: Occasions,
    regime: Regime = Regime.FULL,
    *,
    store: FeatureStore | None = None,
) -> ChoiceData:
    """Features of every alternative of every occasion, and the context of the occasion.

    Args:
        catalogue: lines, products, announced promotions. Lines at or after an occasion are never read for it.
        occasions: in any order; customers, stores and products the catalogue has no lines of are allowed.
        regime: `full`; `nohist` leaves out everything of the deciding customer but demographics, and takes
            its own lines out of popularity too; `launch` is built by `malles.profiles.launch`.
        store: an index made before with `FeatureStore(catalogue)`, to save its cost in small batches.

    Returns:
        `ChoiceData` with `OTHERS_NAMES` (+ `OWN_NAMES` in `full`) as features; zero without a product.

    Raises:
        OccasionError: a product or category code lies outside the catalogue.
    """
    if occasions.product.max(initial=-1) >= len(catalogue.products):
        raise OccasionError(
            f"Occasions name product code {int(occasions.product.max())}, but the catalogue has "
            f"{len(catalogue.products)} products; build the occasions from the same catalogue."
        )
    if occasions.category.max(initial=-1) >= max(len(catalogue.category_name), 1):
        raise OccasionError(
            f"Occasions name category code {int(occasions.category.max())}, but the catalogue has "
            f"{len(catalogue.category_name)} categories; build the occasions from the same catalogue."
        )
    if regime is Regime.LAUNCH:
        from malles.profiles.launch import build_launch_features

        return build_launch_features(catalogue, occasions)
    return (store or FeatureStore(catalogue)).build(occasions, regime)


def with_prices(data: ChoiceData, catalogue: Catalogue, occasions: Occasions) -> ChoiceData:
    """The same occasions under other prices and promotions: only columns that depend on them change.

    What is announced chain-wide stays as it was; change the catalogue's promotions and build anew for that.

    Args:
        data: features in the regime `full` or `nohist`.
        catalogue: the one `data` was built from.
        occasions: those of `data` with other `price`, `list_price` or `promotion`.
    """
    features: Float32[ndarray, "occasion alternative feature"] = data.features.copy()
    features[:, :, : len(PRICE_NAMES)] = 0
    others_kernels.price_columns(
        occasions.product,
        occasions.price,
        occasions.list_price,
        occasions.promotion,
        catalogue.products.amount,
        features,
    )
    if "price_tier" in data.feature_names:
        change = features[:, :, 0] - data.features[:, :, 0]
        index = data.feature_names.index
        ever = data.features[:, :, index("own_ever")] > 0
        some = (data.context[:, data.context_names.index("category_lines")] > 0)[:, None]
        for name in ("price_to_last_paid", "price_to_mean_paid"):
            features[:, :, index(name)] += np.where(ever, change, 0)
        tier = features[:, :, index("price_tier")]
        tier += np.where(some, change, 0)
        features[:, :, index("price_tier_distance")] = np.abs(tier)
    context = data.context.copy()
    when, names = calendar_context(occasions)
    first = data.context_names.index(names[0])
    context[:, first : first + len(names)] = when
    return replace(data, occasions=occasions, features=features, context=context)
