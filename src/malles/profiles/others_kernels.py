# mypy: ignore-errors
# numba compiles these loops and infers their types; the public wrappers are typed
"""Compiled loops over occasions: prices and promotions of the moment, and what other households did before.

The deciding customer's own lines are subtracted from every count exactly (all counts are integers), so that
none of these columns changes when those lines are deleted. The names stand here because numba freezes the
column numbers.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

PRICE_NAMES = (
    "log_price", "price_gap", "price_rank", "discount", "discount_gap", "list_gap", "unit_price_gap",
    "display", "mailer", "mailer_page", "coupon",
)  # fmt: skip
FIXED_NAMES = (
    "amount_gap", "private_label", "is_other",
    "chain_display", "chain_mailer", "chain_display_before", "chain_mailer_before",
    "chain_display_mean8", "chain_mailer_mean8", "weeks_since_mailer", "display_lift", "mailer_lift",
)  # fmt: skip
POPULARITY_NAMES = (
    "chain_2", "chain_8", "chain_all", "chain_recent", "chain_trend", "chain_share",
    "store_26", "store_8", "store_recent", "store_share", "store_silence", "chain_silence",
    "households", "repeat_rate", "lines_per_household", "popularity", "popularity_rank",
)  # fmt: skip
OTHERS_NAMES = PRICE_NAMES + FIXED_NAMES + POPULARITY_NAMES

(_LOG_PRICE, _PRICE_GAP, _PRICE_RANK, _DISCOUNT, _DISCOUNT_GAP, _LIST_GAP, _UNIT_GAP,
 _DISPLAY, _MAILER, _PAGE, _COUPON,
 _AMOUNT_GAP, _PRIVATE, _IS_OTHER,
 _CH_DISPLAY, _CH_MAILER, _CH_DISPLAY_1, _CH_MAILER_1, _CH_DISPLAY_8, _CH_MAILER_8, _SINCE_MAILER,
 _DISPLAY_LIFT, _MAILER_LIFT,
 _CHAIN_2, _CHAIN_8, _CHAIN_ALL, _CHAIN_RECENT, _CHAIN_TREND, _CHAIN_SHARE,
 _STORE_26, _STORE_8, _STORE_RECENT, _STORE_SHARE, _STORE_SILENCE, _CHAIN_SILENCE,
 _HOUSEHOLDS, _REPEAT_RATE, _LINES_PER, _POPULARITY, _POPULARITY_RANK) = range(40)  # fmt: skip

_OTHER = -2
_WEEK = 604800.0


@njit(cache=True, nogil=True)
def lower_bound(values, lo, hi, x):
    """First index in [lo, hi) whose value is not below x."""
    while lo < hi:
        mid = (lo + hi) // 2
        if values[mid] < x:
            lo = mid + 1
        else:
            hi = mid
    return lo


@njit(cache=True, nogil=True)
def find_ranges(customer, category, timestamp, week, categories, segment, start, line_time, line_week, out):
    """Per occasion: first line of the customer-category, end of those before the moment, before the week."""
    for i in range(len(customer)):
        out[i, 0] = out[i, 1] = out[i, 2] = 0
        if customer[i] < 0 or category[i] < 0:
            continue
        key = np.int64(customer[i]) * categories + category[i]
        s = lower_bound(segment, 0, len(segment), key)
        if s == len(segment) or segment[s] != key:
            continue
        a, b = start[s], start[s + 1]
        out[i, 0] = a
        out[i, 1] = lower_bound(line_time, a, b, timestamp[i])
        out[i, 2] = lower_bound(line_week, a, out[i, 1], week[i])


@njit(cache=True, nogil=True)
def price_columns(product, price, list_price, promotion, amount, out):
    """Columns of `PRICE_NAMES`, from nothing but the prices and announcements of the moment."""
    n, J = product.shape
    for i in range(n):
        count, known = 0, 0
        mean_price = mean_list = mean_discount = mean_unit = 0.0
        for j in range(J):
            p = product[i, j]
            if p < 0:
                continue
            cost = max(price[i, j], 1e-3)
            full = max(list_price[i, j], cost)
            out[i, j, _LOG_PRICE] = math.log(cost)
            out[i, j, _LIST_GAP] = math.log(full)
            out[i, j, _DISCOUNT] = 1.0 - cost / full
            count += 1
            mean_price += out[i, j, _LOG_PRICE]
            mean_list += out[i, j, _LIST_GAP]
            mean_discount += out[i, j, _DISCOUNT]
            if amount[p] > 0:
                out[i, j, _UNIT_GAP] = math.log(cost) - math.log(amount[p])
                mean_unit += out[i, j, _UNIT_GAP]
                known += 1
            kind = promotion[i, j]
            out[i, j, _DISPLAY] = 1.0 if kind & 1 else 0.0
            out[i, j, _MAILER] = 1.0 if kind & 6 else 0.0
            out[i, j, _PAGE] = 1.0 if kind & 4 else 0.0
            out[i, j, _COUPON] = 1.0 if kind & 8 else 0.0
        if count == 0:
            continue
        mean_price /= count
        mean_list /= count
        mean_discount /= count
        mean_unit /= max(known, 1)
        for j in range(J):
            p = product[i, j]
            if p < 0:
                continue
            cheaper = 0
            for k in range(J):
                if product[i, k] >= 0 and price[i, k] < price[i, j]:
                    cheaper += 1
            out[i, j, _PRICE_RANK] = cheaper / max(count - 1, 1)
            out[i, j, _PRICE_GAP] = out[i, j, _LOG_PRICE] - mean_price
            out[i, j, _LIST_GAP] -= mean_list
            out[i, j, _DISCOUNT_GAP] = out[i, j, _DISCOUNT] - mean_discount
            if amount[p] > 0:
                out[i, j, _UNIT_GAP] -= mean_unit


@njit(cache=True, nogil=True)
def others_columns(
    rows, customer, store, category, week, product, ranges, categories,
    own_product, own_week, own_promotion, own_first, own_trip,
    store_segment, store_start, store_product, store_customer, store_week,
    amount, private_label, counts, all_display, all_mailer, display, mailer, display_sum, mailer_sum,
    stores_sum,
    n2, n8, n_all, recent, last_sale, recent_weight, households, follow_self, leave, category_all, place, out,
):  # fmt: skip
    """Columns of `FIXED_NAMES` and `POPULARITY_NAMES` for the occasions `rows`, all of one week."""
    J = product.shape[1]
    own2, own8, own_all = np.zeros(J, np.int64), np.zeros(J, np.int64), np.zeros(J, np.int64)
    own_recent = np.zeros(J, np.int64)
    own_display, own_mailer = np.zeros(J, np.int64), np.zeros(J, np.int64)
    own_house, own_leave, own_stay = np.zeros(J, np.int64), np.zeros(J, np.int64), np.zeros(J, np.int64)
    s26, s8, s_recent = np.zeros(J, np.int64), np.zeros(J, np.int64), np.zeros(J, np.int64)
    s_last = np.zeros(J, np.int64)
    pop = np.zeros(J)
    for i in rows:
        w = np.int64(week[i])
        for j in range(J):
            own2[j] = own8[j] = own_all[j] = own_recent[j] = own_display[j] = own_mailer[j] = 0
            own_house[j] = own_leave[j] = own_stay[j] = 0
            s26[j] = s8[j] = s_recent[j] = 0
            s_last[j] = -1
            pop[j] = 0.0
            if product[i, j] >= 0:
                place[product[i, j]] = j
        begin, end = ranges[i, 0], ranges[i, 2]
        own_lines = end - begin
        for k in range(begin, end):
            # transitions into line k, to be taken from others' repeat rates
            if own_trip[k] > begin:
                for k1 in range(own_trip[own_trip[k] - 1], own_trip[k]):
                    j1 = place[own_product[k1]]
                    if j1 >= 0:
                        own_leave[j1] += 1
                        if own_product[k1] == own_product[k]:
                            own_stay[j1] += 1
            j = place[own_product[k]]
            if j < 0:
                continue
            age = w - own_week[k]
            own_all[j] += 1
            own_recent[j] += recent_weight[min(age, len(recent_weight) - 1)]
            if age <= 8:
                own8[j] += 1
            if age <= 2:
                own2[j] += 1
            if own_promotion[k] & 1:
                own_display[j] += 1
            if own_promotion[k] & 6:
                own_mailer[j] += 1
            if own_first[k]:
                own_house[j] = 1
        # what others bought in this store
        store_total, store_recent_total = 0, 0
        key = np.int64(store[i]) * categories + category[i]
        s = lower_bound(store_segment, 0, len(store_segment), key)
        if s < len(store_segment) and store_segment[s] == key:
            a = lower_bound(store_week, store_start[s], store_start[s + 1], w - 26)
            b = lower_bound(store_week, a, store_start[s + 1], w)
            for k in range(a, b):
                if store_customer[k] == customer[i]:
                    continue
                age = w - store_week[k]
                weight = recent_weight[min(age, len(recent_weight) - 1)]
                store_total += 1
                store_recent_total += weight
                j = place[store_product[k]]
                if j < 0:
                    continue
                s26[j] += 1
                s_recent[j] += weight
                if age <= 8:
                    s8[j] += 1
                s_last[j] = max(s_last[j], store_week[k])
        slate8 = 0
        slate_store = 0
        total_pop = 0.0
        mean_amount, known = 0.0, 0
        for j in range(J):
            p = product[i, j]
            if p < 0:
                continue
            slate8 += n8[p] - own8[j]
            slate_store += s26[j]
            if amount[p] > 0:
                mean_amount += math.log(amount[p])
                known += 1
        mean_amount /= max(known, 1)
        slate_all, slate_recent, other_column = 0, 0, -1
        for j in range(J):
            p = product[i, j]
            if p == _OTHER:
                other_column = j
                out[i, j, _IS_OTHER] = 1.0
            if p < 0:
                continue
            c2, c8, c_all = n2[p] - own2[j], n8[p] - own8[j], n_all[p] - own_all[j]
            c_recent = recent[p] - own_recent[j]
            slate_all += c_all
            slate_recent += s_recent[j]
            if amount[p] > 0:
                out[i, j, _AMOUNT_GAP] = math.log(amount[p]) - mean_amount
            out[i, j, _PRIVATE] = 1.0 if private_label[p] else 0.0
            out[i, j, _CH_DISPLAY] = display[p, w]
            out[i, j, _CH_MAILER] = mailer[p, w]
            if w > 0:
                out[i, j, _CH_DISPLAY_1] = display[p, w - 1]
                out[i, j, _CH_MAILER_1] = mailer[p, w - 1]
            mean_d, mean_m, since = 0.0, 0.0, 30
            for back in range(1, 31):
                if w - back < 0:
                    break
                if back <= 8:
                    mean_d += display[p, w - back] / 8.0
                    mean_m += mailer[p, w - back] / 8.0
                if mailer[p, w - back] > 0.2:
                    since = min(since, back)
                if back >= 8 and since < 30:
                    break
            out[i, j, _CH_DISPLAY_8] = mean_d
            out[i, j, _CH_MAILER_8] = mean_m
            out[i, j, _SINCE_MAILER] = math.log(1.0 + since)
            base = c_all / max(stores_sum, 1)
            out[i, j, _DISPLAY_LIFT] = math.log(
                (all_display[p] - own_display[j] + 3.0) / (display_sum[p] * base + 3.0)
            )
            out[i, j, _MAILER_LIFT] = math.log(
                (all_mailer[p] - own_mailer[j] + 3.0) / (mailer_sum[p] * base + 3.0)
            )
            out[i, j, _CHAIN_2] = math.log(1.0 + c2)
            out[i, j, _CHAIN_8] = math.log(1.0 + c8)
            out[i, j, _CHAIN_ALL] = math.log((c_all + 1.0) / (category_all[category[i]] - own_lines + 50.0))
            out[i, j, _CHAIN_RECENT] = math.log(1.0 + c_recent / 65536.0)
            out[i, j, _CHAIN_TREND] = math.log((c2 + 1.0) / (c8 / 4.0 + 1.0))
            out[i, j, _CHAIN_SHARE] = (c8 + 0.0) / max(slate8, 1)
            out[i, j, _STORE_26] = math.log(1.0 + s26[j])
            out[i, j, _STORE_8] = math.log(1.0 + s8[j])
            out[i, j, _STORE_RECENT] = math.log(
                (s_recent[j] / 65536.0 + 0.3) / (store_recent_total / 65536.0 + 6.0)
            )
            out[i, j, _STORE_SHARE] = (s26[j] + 0.0) / max(slate_store, 1)
            out[i, j, _STORE_SILENCE] = math.log(1.0 + (w - s_last[j] if s_last[j] >= 0 else 40))
            last = np.int64(last_sale[p])
            if own_all[j] > 0:  # step back over weeks in which only this customer bought it
                while last >= 0:
                    mine = 0
                    for k in range(begin, end):
                        if own_product[k] == p and own_week[k] == last:
                            mine += 1
                    if counts[p, last] > mine:
                        break
                    last -= 1
            out[i, j, _CHAIN_SILENCE] = math.log(1.0 + (min(w - last, 40) if last >= 0 else 40))
            house = households[p] - own_house[j]
            out[i, j, _HOUSEHOLDS] = math.log(1.0 + house)
            out[i, j, _REPEAT_RATE] = (follow_self[p] - own_stay[j] + 1.0) / (leave[p] - own_leave[j] + 3.0)
            out[i, j, _LINES_PER] = math.log((c_all + 1.0) / (house + 1.0))
            pop[j] = (s26[j] + 20.0 * (c8 + 0.05) / (slate8 + 1.0)) + 0.02
            total_pop += pop[j]
        for j in range(J):
            p = product[i, j]
            if p < 0:
                continue
            place[p] = -1
            out[i, j, _POPULARITY] = math.log(pop[j] / total_pop)
            better = 0
            for k in range(J):
                if pop[k] > pop[j]:
                    better += 1
            out[i, j, _POPULARITY_RANK] = better / 20.0
        if other_column >= 0:
            j = other_column
            all_others = category_all[category[i]] - own_lines
            out[i, j, _CHAIN_ALL] = math.log((max(all_others - slate_all, 0) + 1.0) / (all_others + 50.0))
            out[i, j, _STORE_RECENT] = math.log(
                ((store_recent_total - slate_recent) / 65536.0 + 0.3) / (store_recent_total / 65536.0 + 6.0)
            )
            out[i, j, _STORE_SHARE] = (store_total - slate_store) / max(store_total, 1)
            out[i, j, _POPULARITY] = math.log((store_total - slate_store + 1.0) / (store_total + 2.0))
