"""Lines of a catalogue indexed for features, and the aggregates that stand beside them week by week."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int32, Int64
from numpy import ndarray

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
from malles.profiles.vectors import build_vector_index, fill_vector_columns, vector_names
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


@dataclass(frozen=True)
class _Seen:
    """Vectors by product over the weeks before `week`."""

    week: int
    last2: Int64[ndarray, " product"]
    """Lines of the last two weeks."""
    last8: Int64[ndarray, " product"]
    ever: Int64[ndarray, " product"]
    recent: Int64[ndarray, " product"]
    """Lines weighted by `RECENT_WEIGHT`."""
    last_week: Int64[ndarray, " product"]
    """Week of the last sale; -1 if never sold."""
    by_category: Int64[ndarray, " category"]
    on_display: Int64[ndarray, " product"]
    """Lines bought under a display."""
    on_mailer: Int64[ndarray, " product"]
    display_stores: Int64[ndarray, " product"]
    """Store-weeks with a display."""
    mailer_stores: Int64[ndarray, " product"]
    stores: int
    """Store-weeks with any announcement."""


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
        self.history = build_history_index(self.catalogue)
        self.stores = build_store_index(self.catalogue)
        self.customers = build_customer_index(self.catalogue)
        size = np.diff(self.history.start)
        self._begin = np.repeat(self.history.start[:-1], size)
        self._by_week = np.argsort(self.history.week, kind="stable")
        customer = np.repeat(self.history.segment // max(len(self.catalogue.category_name), 1), size)
        new = np.flatnonzero(self.history.first)
        new = new[np.lexsort((self.history.timestamp[new], customer[new]))]
        people = len(self.customers.start) - 1
        self._new_start = np.searchsorted(customer[new], np.arange(people + 1)).astype(np.int64)
        self._new_product, self._new_time = self.history.product[new], self.history.timestamp[new]
        self._tastes: tuple[int, Tastes] | None = None
        self._vectors = build_vector_index(self.catalogue.products, self.history, customer, people)
        self._place_products()
        self._cover(int(max(lines.week.max(initial=0), table.week.max(initial=0))) + 1)

    def _cover(self, week: int) -> None:
        """Make room for occasions up to `week`."""
        self.weeks = week + 1
        self.calendar = build_calendar(self.catalogue, self.weeks)
        self._week_bound = np.searchsorted(self.history.week[self._by_week], np.arange(self.weeks + 1))
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
        self._seen: _Seen | None = None
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
        rows = self._by_week[self._week_bound[state.week] : self._week_bound[week]]
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
        if n and int(occasions.week.max()) >= self.weeks:
            self._cover(int(occasions.week.max()))
        own = regime is Regime.FULL
        names = OTHERS_NAMES + (OWN_NAMES if own else ()) + vector_names(self._vectors, own=own)
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
        if self._vectors is not None:
            first = len(OTHERS_NAMES) + (len(OWN_NAMES) if own else 0)
            fill_vector_columns(self._vectors, occasions, ranges, history, out[:, :, first:])
        place = np.full(len(products), -1, np.int32)
        slot = np.full(len(products), -1, np.int32)
        buyers = np.zeros(n, np.int64)
        segment_week = self.history.week[self.history.start[:-1]]
        segment_category = self.history.segment % categories
        popularity = out[:, :, OTHERS_NAMES.index("popularity")]
        for week in np.unique(occasions.week):
            rows = np.flatnonzero(occasions.week == week)
            state = self._advance(int(week))
            seen = self._weekly(state)
            begun = np.bincount(segment_category[segment_week < week], minlength=categories)
            buyers[rows] = begun[occasions.category[rows]] - (ranges[rows, 2] > ranges[rows, 0])
            calendar = self.calendar
            others_kernels.others_columns(
                rows, occasions.customer, occasions.store, occasions.category,
                occasions.week, occasions.product, ranges, categories,
                history.product, history.week, history.promotion, history.first, history.trip,
                self.stores.segment, self.stores.start, self.stores.product, self.stores.customer,
                self.stores.week, products.amount, products.private_label,
                state.counts, seen.on_display, seen.on_mailer, calendar.display, calendar.mailer,
                seen.display_stores, seen.mailer_stores, seen.stores,
                seen.last2, seen.last8, seen.ever, seen.recent, seen.last_week, RECENT_WEIGHT,
                state.households, state.stay, state.leave, seen.by_category, place, out,
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
            catalogue=self.catalogue,
        )

    def _weekly(self, state: _State) -> _Seen:
        """Vectors by product over the weeks before `state.week`; the last ones asked for are kept."""
        if self._seen is not None and self._seen.week == state.week:
            return self._seen
        week = state.week
        past = state.counts[:, :week]
        weight = RECENT_WEIGHT[np.minimum(week - np.arange(week), len(RECENT_WEIGHT) - 1)]
        ever = past.sum(axis=1).astype(np.int64)
        last = week - 1 - np.argmax(past[:, ::-1] > 0, axis=1) if week else ever
        category = self.catalogue.products.category
        known = category >= 0
        total = np.zeros(max(len(self.catalogue.category_name), 1), np.int64)
        np.add.at(total, category[known], ever[known])
        self._seen = _Seen(
            week=week,
            last2=past[:, max(week - 2, 0) :].sum(axis=1).astype(np.int64),
            last8=past[:, max(week - 8, 0) :].sum(axis=1).astype(np.int64),
            ever=ever,
            recent=past.astype(np.int64) @ weight,
            last_week=np.where(ever > 0, last, -1).astype(np.int64),
            by_category=total,
            on_display=state.on_display[:, :week].sum(axis=1),
            on_mailer=state.on_mailer[:, :week].sum(axis=1),
            display_stores=self.calendar.display_stores[:, :week].sum(axis=1),
            mailer_stores=self.calendar.mailer_stores[:, :week].sum(axis=1),
            stores=int(self.calendar.stores[:week].sum()),
        )
        return self._seen
