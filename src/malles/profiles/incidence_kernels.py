# mypy: disable-error-code="no-untyped-def,no-any-return"
"""Numba kernels: a household's memory of its purchases, and what it says of every category on a trip.

The memory is a tuple of arrays, updated trip by trip; a trip's features are written from it before the trip
itself is remembered, so that nothing of the present can leak into them. Time is measured in weeks (float64).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy import ndarray

FEATURE_NAMES: tuple[str, ...] = (
    "rate_13w",
    "rate_4w",
    "rate_ever",
    "category_rate_8w",
    "category_trend_1w",
    "category_trend_4w",
    "category_trend_26w",
    "weeks_since",
    "never_bought",
    "due",
    "mean_gap",
    "gap_variation",
    "inventory_weeks",
    "inventory_units",
    "trips_since",
    "purchases",
    "last_units",
    "last_trip",
    "same_week",
    "group_rate",
    "group_since",
    "store_category",
    "daypart_category",
    "weeks_since_trip",
    "trips_per_week",
    "basket_own",
    "basket_own_store",
    "basket_own_daypart",
    "basket_store",
    "basket_last",
    "weeks_known",
    "weekday_sin",
    "weekday_cos",
    "hour_sin",
    "hour_cos",
    "month_sin",
    "month_cos",
    "display",
    "mailer",
    "discount",
    "deepest_discount",
    "display_change",
    "mailer_change",
    "discount_change",
    "last_on_shelf",
    "last_discount",
    "last_display",
    "last_mailer",
    "no_shelf",
)
"""Columns of the incidence features, all finite and of order one."""

N_DAYPARTS = 8
"""Four parts of the day (0-10, 10-14, 14-18, 18-24 o'clock) on working days and at weekends."""

N_OFFER = 4
"""display, mailer, discount, deepest discount of a shelf."""


class Memory(NamedTuple):
    """What every household remembers; h = household, c = category, g = group, s = store, d = daypart."""

    last: ndarray  # [h, c] week of the last purchase; NaN = never
    first: ndarray  # [h, c]
    purchases: ndarray  # [h, c] so far
    gap2: ndarray  # [h, c] sum of squared gaps
    slow: ndarray  # [h, c] purchases decayed with a half-life of 13 weeks, at `last`
    fast: ndarray  # [h, c] the same with 4 weeks
    units: ndarray  # [h, c] units decayed with 13 weeks, at `last`
    stock: ndarray  # [h, c] inventory right after `last`, units
    last_units: ndarray  # [h, c]
    last_product: ndarray  # [h, c] product code, -1 = none
    trip_of_last: ndarray  # [h, c] trips made when the category was last bought
    group_slow: ndarray  # [h, g] category purchases of the group decayed with 13 weeks
    group_last: ndarray  # [h, g]
    trips: ndarray  # [h]
    trip_last: ndarray  # [h]
    trip_first: ndarray  # [h]
    trip_slow: ndarray  # [h] trips decayed with 13 weeks, at `trip_last`
    trip_fast: ndarray  # [h] with 4 weeks
    basket_slow: ndarray  # [h] categories bought decayed with 13 weeks
    basket_last: ndarray  # [h] categories of the last trip
    store_trips: ndarray  # [h, s]
    store_basket: ndarray  # [h, s]
    part_trips: ndarray  # [h, d]
    part_basket: ndarray  # [h, d]


class Market(NamedTuple):
    """What every household can see of the market in one week: aggregates of earlier weeks and this week's
    shelves.
    """

    rate1: ndarray  # [c] purchases per trip in the chain, last week
    rate4: ndarray
    rate8: ndarray
    rate26: ndarray
    store_category: ndarray  # [s, c] log of the store's rate over the chain's, shrunk
    part_category: ndarray  # [d, c] log of the daypart's rate over the chain's, shrunk
    store_basket: ndarray  # [s] categories per trip
    part_basket: ndarray  # [d] log of the daypart's basket over the chain's
    mean_basket: float
    shelf: ndarray  # [s, c] row of the shelf, -1 = none
    offer: ndarray  # [shelf, N_OFFER]
    offer_past: ndarray  # [c, 3] mean offer of the last 8 weeks over the chain: display, mailer, discount
    product: ndarray  # [shelf, alternative]
    price: ndarray
    list_price: ndarray
    promotion: ndarray


@njit(cache=True)
def daypart(hour: float, weekday: int) -> int:
    part = 0
    if hour >= 18.0:
        part = 3
    elif hour >= 14.0:
        part = 2
    elif hour >= 10.0:
        part = 1
    return part + (4 if weekday >= 5 else 0)


@njit(cache=True)
def clock(seconds: int) -> tuple[float, int, float]:
    """(hour, weekday with Monday = 0, day of the month as a fraction of 30.44 days)."""
    day = seconds // 86400
    hour = (seconds - day * 86400) / 3600.0
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
    # civil calendar: day of the month from days since 1970 (Hinnant's algorithm)
    z = day + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    return hour, weekday, (doy - (153 * mp + 2) // 5) / 30.44


@njit(cache=True)
def remember_trip(m, h, s, seconds, category, units, product, group):
    """One trip with the categories bought enters the memory."""
    now = seconds / 604800.0
    hour, weekday, _ = clock(seconds)
    d = daypart(hour, weekday)
    n = len(category)
    if m.trips[h] > 0:
        dt = max(now - m.trip_last[h], 0.0)
        slow, fast = 0.5 ** (dt / 13.0), 0.5 ** (dt / 4.0)
    else:
        slow, fast = 0.0, 0.0
        m.trip_first[h] = now
    m.trip_slow[h] = m.trip_slow[h] * slow + 1.0
    m.trip_fast[h] = m.trip_fast[h] * fast + 1.0
    m.basket_slow[h] = m.basket_slow[h] * slow + n
    m.basket_last[h] = n
    m.trip_last[h] = now
    m.trips[h] += 1
    m.store_trips[h, s] += 1
    m.store_basket[h, s] += n
    m.part_trips[h, d] += 1
    m.part_basket[h, d] += n
    for i in range(n):
        c = category[i]
        k = m.purchases[h, c]
        if k > 0:
            gap = max(now - m.last[h, c], 0.0)
            use = m.units[h, c] / 18.755  # units per week: sum of decayed units over ln2 / 13 weeks
            m.stock[h, c] = max(m.stock[h, c] - use * gap, 0.0)
            m.gap2[h, c] += gap * gap
            slow, fast = 0.5 ** (gap / 13.0), 0.5 ** (gap / 4.0)
        else:
            slow, fast = 0.0, 0.0
            m.first[h, c] = now
        m.slow[h, c] = m.slow[h, c] * slow + 1.0
        m.fast[h, c] = m.fast[h, c] * fast + 1.0
        m.units[h, c] = m.units[h, c] * slow + units[i]
        m.stock[h, c] += units[i]
        m.last_units[h, c] = units[i]
        m.last_product[h, c] = product[i]
        m.trip_of_last[h, c] = m.trips[h]
        m.last[h, c] = now
        m.purchases[h, c] = k + 1
        g = group[c]
        if m.group_slow[h, g] > 0:
            gap = max(now - m.group_last[h, g], 0.0)
            m.group_slow[h, g] = m.group_slow[h, g] * 0.5 ** (gap / 13.0) + 1.0
        else:
            m.group_slow[h, g] = 1.0
        m.group_last[h, g] = now


@njit(cache=True)
def describe_trip(m, k, h, s, seconds, group, out):
    """Features of every category for one trip, from memory m and market k, into out[category, feature]."""
    now = seconds / 604800.0
    hour, weekday, month = clock(seconds)
    d = daypart(hour, weekday)
    C = out.shape[0]
    two_pi = 2.0 * np.pi
    trips = m.trips[h]
    if trips > 0:
        dt = max(now - m.trip_last[h], 0.0)
        s13, s4 = 0.5 ** (dt / 13.0), 0.5 ** (dt / 4.0)
        t13, t4, b13 = m.trip_slow[h] * s13, m.trip_fast[h] * s4, m.basket_slow[h] * s13
        known = max(now - m.trip_first[h], 0.0)
    else:
        dt, s13, s4, t13, t4, b13, known = 53.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    own = (b13 + 2.0 * k.mean_basket) / (t13 + 2.0)
    ratio = own / k.mean_basket
    own_store = (m.store_basket[h, s] + 3.0 * own) / (m.store_trips[h, s] + 3.0)
    own_part = (m.part_basket[h, d] + 3.0 * own * np.exp(k.part_basket[d])) / (m.part_trips[h, d] + 3.0)
    weekly = (t13 + 0.5) / (18.755 * (1.0 - 0.5 ** (min(known, 60.0) / 13.0)) + 0.5)
    for c in range(C):
        f = out[c]
        base = k.rate8[c]
        expected = min(base * ratio, 0.9)
        count = m.purchases[h, c]
        if count > 0:
            since = max(now - m.last[h, c], 0.0)
            d13, d4 = 0.5 ** (since / 13.0), 0.5 ** (since / 4.0)
            slow, fast, units = m.slow[h, c] * d13, m.fast[h, c] * d4, m.units[h, c] * d13
        else:
            since, slow, fast, units = 53.0, 0.0, 0.0, 0.0
        f[0] = np.log((slow + 6.0 * expected) / (t13 + 6.0))
        f[1] = np.log((fast + 4.0 * expected) / (t4 + 4.0))
        f[2] = np.log((count + 10.0 * expected) / (trips + 10.0))
        f[3] = np.log(base)
        f[4] = np.log(k.rate1[c] / base)
        f[5] = np.log(k.rate4[c] / base)
        f[6] = np.log(base / k.rate26[c])
        f[7] = np.log(since + 0.1)
        f[8] = 1.0 if count == 0 else 0.0
        if count >= 2:
            mean_gap = max((m.last[h, c] - m.first[h, c]) / (count - 1), 0.02)
            variation = np.sqrt(max(m.gap2[h, c] / (count - 1) - mean_gap * mean_gap, 0.0)) / mean_gap
            f[9] = np.log((since + 0.1) / (mean_gap + 0.1))
            f[10] = np.log(mean_gap + 0.1)
            f[11] = min(variation, 3.0)
        else:
            f[9] = 0.0
            f[10] = 3.0
            f[11] = 1.0
        use = units / 18.755
        if count > 0:
            left = max(m.stock[h, c] - m.units[h, c] / 18.755 * since, 0.0)
            f[12] = np.log1p(min(left / max(use, 0.01), 60.0))
            f[13] = np.log1p(left)
            f[14] = np.log1p(trips - m.trip_of_last[h, c])
            f[16] = np.log1p(m.last_units[h, c])
            f[17] = 1.0 if m.trip_of_last[h, c] == trips else 0.0
            f[18] = 1.0 if since < 1.0 else 0.0
        else:
            f[12] = 0.0
            f[13] = 0.0
            f[14] = np.log1p(trips)
            f[16] = 0.0
            f[17] = 0.0
            f[18] = 0.0
        f[15] = np.log1p(count)
        g = group[c]
        if m.group_slow[h, g] > 0:
            gsince = max(now - m.group_last[h, g], 0.0)
            f[19] = np.log((m.group_slow[h, g] * 0.5 ** (gsince / 13.0) + 0.1) / (t13 + 1.0))
            f[20] = np.log(gsince + 0.1)
        else:
            f[19] = np.log(0.1 / (t13 + 1.0))
            f[20] = 4.0
        f[21] = k.store_category[s, c]
        f[22] = k.part_category[d, c]
        f[23] = np.log(dt + 0.02)
        f[24] = np.log(weekly)
        f[25] = np.log(own)
        f[26] = np.log(own_store)
        f[27] = np.log(own_part)
        f[28] = np.log(k.store_basket[s])
        f[29] = np.log1p(m.basket_last[h])
        f[30] = np.log1p(min(known, 20.0))  # capped: an uncapped clock would be out of range after fitting
        f[31] = np.sin(two_pi * weekday / 7.0)
        f[32] = np.cos(two_pi * weekday / 7.0)
        f[33] = np.sin(two_pi * hour / 24.0)
        f[34] = np.cos(two_pi * hour / 24.0)
        f[35] = np.sin(two_pi * month)
        f[36] = np.cos(two_pi * month)
        row = k.shelf[s, c]
        if row < 0:
            f[37:48] = 0.0
            f[48] = 1.0
        else:
            describe_shelf(
                k.offer[row],
                k.offer_past[c],
                m.last_product[h, c],
                k.product[row],
                k.price[row],
                k.list_price[row],
                k.promotion[row],
                f,
            )


@njit(cache=True)
def describe_shelf(offer, past, last, product, price, list_price, promotion, f):
    """The columns of one shelf, into f: what it offers, the change from what is usual, and the product
    bought last.
    """
    for j in range(4):
        f[37 + j] = offer[j]
    for j in range(3):
        f[41 + j] = offer[j] - past[j]
    f[44:49] = 0.0
    if last < 0:
        return
    for j in range(len(product)):
        if product[j] == last:
            f[44] = 1.0
            f[45] = max(1.0 - price[j] / list_price[j], -0.5) if list_price[j] > 0 else 0.0
            f[46] = 1.0 if promotion[j] & 1 else 0.0
            f[47] = 1.0 if promotion[j] & 2 else 0.0
            return


@njit(cache=True)
def describe_shelves(offer, past, last, product, price, list_price, promotion, out):
    """`describe_shelf` for every row: one cell and its own shelf each."""
    for i in range(len(last)):
        describe_shelf(offer[i], past[i], last[i], product[i], price[i], list_price[i], promotion[i], out[i])


@njit(cache=True)
def replay(memory, market, customer, store, seconds, start, category, units, product, group, wanted, out):
    """Trips sorted by (customer, time): describe those with wanted[i] >= 0 into out[wanted[i]], remember all.

    A trip is described from trips of the same customer with a strictly earlier time: equal times wait for
    each other.
    """
    n = len(customer)
    done = 0  # trips[0:done] are remembered
    for i in range(n):
        while done < i and (customer[done] != customer[i] or seconds[done] < seconds[i]):
            a, b = start[done], start[done + 1]
            remember_trip(
                memory,
                customer[done],
                store[done],
                seconds[done],
                category[a:b],
                units[a:b],
                product[a:b],
                group,
            )
            done += 1
        if wanted[i] >= 0:
            describe_trip(memory, market, customer[i], store[i], seconds[i], group, out[wanted[i]])
    while done < n:
        a, b = start[done], start[done + 1]
        remember_trip(
            memory, customer[done], store[done], seconds[done], category[a:b], units[a:b], product[a:b], group
        )
        done += 1


@njit(cache=True)
def describe(memory, market, customer, store, seconds, group, out):
    """Features of all categories for trips, without remembering them: out[trip, category, feature]."""
    for i in range(len(customer)):
        describe_trip(memory, market, customer[i], store[i], seconds[i], group, out[i])
