# mypy: ignore-errors
# numba compiles these loops and infers their types; the public wrappers are typed
"""Compiled loop over occasions: what the deciding customer bought, and where others went from there."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from malles.profiles.others_kernels import lower_bound

OWN_NAMES = (
    "own_lines", "own_share", "own_decay3", "own_decay8", "own_decay20", "own_trip_decay6",
    "own_trip_decay85", "own_last", "own_second", "own_third", "own_lag", "own_weeks_since", "own_ever",
    "own_streak", "own_gap", "own_due", "own_units_share", "price_to_last_paid", "price_to_mean_paid",
    "own_discounted", "own_mean_units", "own_last_units",
    "maker_share", "size_share", "maker_size_share", "private_match", "maker_last", "size_last",
    "maker_elsewhere", "private_elsewhere", "price_tier", "price_tier_distance", "own_frequency",
    "together", "together_lift", "follow_last", "follow_all", "follow_lift",
)  # fmt: skip
CONTEXT_NAMES = (
    "category_lines", "category_trips", "category_distinct", "category_repeat", "category_concentration",
    "category_weeks_since", "category_gap", "category_due", "category_discounted", "category_units",
    "category_on_slate", "category_last_weight", "customer_baskets", "customer_private",
    "customer_discounted", "customer_basket_spend", "category_displayed", "category_mailed",
)  # fmt: skip

(_LINES, _SHARE, _DECAY3, _DECAY8, _DECAY20, _TRIP6, _TRIP85,
 _LAST, _SECOND, _THIRD, _LAG, _SINCE, _EVER, _STREAK,
 _GAP, _DUE, _UNITS_SHARE, _PRICE_LAST, _PRICE_MEAN, _DISCOUNTED,
 _MEAN_UNITS, _LAST_UNITS,
 _MAKER, _SIZE, _MAKER_SIZE, _PRIVATE, _MAKER_LAST, _SIZE_LAST,
 _MAKER_ELSEWHERE, _PRIVATE_ELSEWHERE, _TIER, _TIER_DISTANCE, _FREQUENCY,
 _TOGETHER, _TOGETHER_LIFT, _FOLLOW_LAST, _FOLLOW_ALL, _FOLLOW_LIFT) = range(38)  # fmt: skip

_OTHER = -2
_WEEK = 604800.0


@njit(cache=True, nogil=True)
def own_columns(
    rows, customer, timestamp, product, price, ranges,
    line_product, line_time, line_quantity, line_price, line_discounted, line_promotion, line_trip,
    customer_start, customer_time, customer_total, maker_of_line, maker_time,
    maker, size, private_label, local, offset, width, category_households,
    households, leave, together, follow, popularity, place, slot, longest, out, context,
):  # fmt: skip
    """Columns of `OWN_NAMES` and `CONTEXT_NAMES` for the occasions `rows`, all of one week."""
    J = product.shape[1]
    D = longest + 1
    item = np.zeros(D, np.int64)
    lines, qty, last_qty = np.zeros(D), np.zeros(D), np.zeros(D)
    d3, d8, d20, t6, t85 = np.zeros(D), np.zeros(D), np.zeros(D), np.zeros(D), np.zeros(D)
    lag_of, streak, visits = np.zeros(D, np.int64), np.zeros(D, np.int64), np.zeros(D, np.int64)
    seen_lag = np.zeros(D, np.int64)
    newest, oldest = np.zeros(D, np.int64), np.zeros(D, np.int64)
    paid_last, paid_sum, cuts = np.zeros(D), np.zeros(D), np.zeros(D)
    recent = np.zeros((D, 4))
    before = np.zeros(D, np.bool_)
    own_leave = np.zeros(D, np.int64)
    own_follow = np.zeros((D, D), np.int64)
    for i in rows:
        begin, end, week_end = ranges[i, 0], ranges[i, 1], ranges[i, 2]
        now = timestamp[i]
        n = end - begin
        m, lag = 0, 0
        s3 = s8 = s20 = r6 = r85 = units = cut = tier = trip_size = shown = mailed = 0.0
        previous = np.int64(-1)
        for k in range(end - 1, begin - 1, -1):
            if line_time[k] != previous:
                lag += 1
                previous = line_time[k]
            p = line_product[k]
            d = slot[p]
            age = (now - line_time[k]) / _WEEK
            if d < 0:
                d = m
                slot[p] = m
                item[m] = p
                lines[m] = qty[m] = d3[m] = d8[m] = d20[m] = t6[m] = t85[m] = paid_sum[m] = cuts[m] = 0.0
                lag_of[m] = lag
                streak[m] = visits[m] = seen_lag[m] = 0
                newest[m] = line_time[k]
                paid_last[m] = line_price[k]
                last_qty[m] = line_quantity[k]
                recent[m, 1] = recent[m, 2] = recent[m, 3] = 0.0
                before[m] = False
                own_leave[m] = 0
                m += 1
            e3, e8, e20 = 2.0 ** (-age / 3.0), 2.0 ** (-age / 8.0), 2.0 ** (-age / 20.0)
            f6, f85 = 0.6 ** (lag - 1), 0.85 ** (lag - 1)
            lines[d] += 1.0
            d3[d] += e3
            d8[d] += e8
            d20[d] += e20
            t6[d] += f6
            t85[d] += f85
            s3 += e3
            s8 += e8
            s20 += e20
            r6 += f6
            r85 += f85
            qty[d] += line_quantity[k]
            units += line_quantity[k]
            paid_sum[d] += line_price[k]
            tier += math.log(max(line_price[k], 1e-3)) * e20
            if line_discounted[k]:
                cuts[d] += 1.0
                cut += 1.0
            if line_promotion[k] & 1:
                shown += 1.0
            if line_promotion[k] & 6:
                mailed += 1.0
            oldest[d] = line_time[k]
            if seen_lag[d] != lag:
                seen_lag[d] = lag
                visits[d] += 1
                if streak[d] == lag - 1:
                    streak[d] = lag
            if lag <= 3:
                recent[d, lag] = 1.0
            if lag == 1:
                trip_size += 1.0
            if k < week_end:
                before[d] = True
        trips = lag
        # the customer's own transitions, to be taken from everybody's
        for d in range(m):
            for e in range(m):
                own_follow[d, e] = 0
        repeats, steps = 0, 0
        for k in range(begin, end):
            if line_trip[k] == begin:
                continue
            same = 0
            for k1 in range(line_trip[line_trip[k] - 1], line_trip[k]):
                if line_product[k1] == line_product[k]:
                    same = 1
                if k < week_end:
                    own_follow[slot[line_product[k1]], slot[line_product[k]]] += 1
                    own_leave[slot[line_product[k1]]] += 1
            repeats += same
            steps += 1
        # context of the occasion
        c0, c1 = np.int64(0), np.int64(0)
        if customer[i] >= 0 and customer[i] < len(customer_start) - 1:
            c0 = customer_start[customer[i]]
            c1 = lower_bound(customer_time, c0, customer_start[customer[i] + 1], now)
        all_lines = c1 - c0
        all_private = customer_total[c1, 0] - customer_total[c0, 0]
        all_cut = customer_total[c1, 1] - customer_total[c0, 1]
        baskets = customer_total[c1, 2] - customer_total[c0, 2]
        spend = customer_total[c1, 3] - customer_total[c0, 3]
        context[i, 0] = math.log(1.0 + n)
        context[i, 1] = math.log(1.0 + trips)
        context[i, 2] = math.log(1.0 + m)
        context[i, 3] = (repeats + 1.0) / (steps + 2.0)
        concentration, private_here = 0.0, 0.0
        for d in range(m):
            concentration += (d20[d] / s20) ** 2
            if private_label[item[d]]:
                private_here += lines[d]
        context[i, 4] = concentration
        since = (now - line_time[end - 1]) / _WEEK if n > 0 else 60.0
        gap = (line_time[end - 1] - line_time[begin]) / _WEEK / (trips - 1) if trips > 1 else 0.0
        context[i, 5] = math.log(1.0 + since)
        context[i, 6] = math.log(1.0 + gap)
        context[i, 7] = min(since / gap, 4.0) if gap > 0.1 else 0.0
        context[i, 8] = (cut + 0.5) / (n + 1.0)
        context[i, 9] = math.log((units + 1.3) / (n + 1.0))
        context[i, 11] = 1.0 / trip_size if n > 0 else 0.0
        context[i, 12] = math.log(1.0 + baskets)
        context[i, 13] = (all_private + 3.0) / (all_lines + 10.0)
        context[i, 14] = (all_cut + 5.0) / (all_lines + 10.0)
        context[i, 15] = math.log((spend + 30.0) / (baskets + 1.0))
        context[i, 16] = (shown + 0.15) / (n + 1.0)
        context[i, 17] = (mailed + 0.2) / (n + 1.0)
        private_out = (all_private - private_here + 3.0) / (all_lines - n + 10.0)
        private_in = (private_here + 0.6) / (n + 2.0)
        tier = tier / s20 if n > 0 else 0.0
        on_slate = 0.0
        rest_lines, rest3, rest8, rest20, rest6, rest85 = n + 0.0, s3, s8, s20, r6, r85
        rest_last = trip_size
        other_column = -1
        for j in range(J):
            p = product[i, j]
            if p == _OTHER:
                other_column = j
            if p < 0:
                continue
            log_price = math.log(max(price[i, j], 1e-3))
            pop = popularity[i, j]
            d = slot[p]
            out[i, j, _SINCE] = math.log(61.0)
            if d >= 0:
                on_slate += d20[d] / s20
                age = (now - newest[d]) / _WEEK
                out[i, j, _LINES] = math.log(1.0 + lines[d])
                out[i, j, _SHARE] = lines[d] / n
                out[i, j, _DECAY3] = d3[d] / (s3 + 0.2)
                out[i, j, _DECAY8] = d8[d] / (s8 + 0.2)
                out[i, j, _DECAY20] = d20[d] / (s20 + 0.2)
                out[i, j, _TRIP6] = t6[d] / r6
                out[i, j, _TRIP85] = t85[d] / r85
                out[i, j, _LAST] = recent[d, 1] / trip_size
                out[i, j, _SECOND] = recent[d, 2]
                out[i, j, _THIRD] = recent[d, 3]
                out[i, j, _LAG] = 1.0 / lag_of[d]
                out[i, j, _SINCE] = math.log(1.0 + min(age, 60.0))
                out[i, j, _EVER] = 1.0
                out[i, j, _STREAK] = math.log(1.0 + streak[d])
                if visits[d] > 1:
                    own_gap = max((newest[d] - oldest[d]) / _WEEK / (visits[d] - 1), 0.1)
                    out[i, j, _GAP] = math.log(1.0 + own_gap)
                    out[i, j, _DUE] = min(age / own_gap, 4.0)
                out[i, j, _UNITS_SHARE] = qty[d] / max(units, 1.0)
                out[i, j, _PRICE_LAST] = log_price - math.log(max(paid_last[d], 1e-3))
                out[i, j, _PRICE_MEAN] = log_price - math.log(max(paid_sum[d] / lines[d], 1e-3))
                out[i, j, _DISCOUNTED] = cuts[d] / lines[d]
                out[i, j, _MEAN_UNITS] = math.log(qty[d] / lines[d] + 1e-3)
                out[i, j, _LAST_UNITS] = math.log(last_qty[d] + 1e-3)
                rest_lines -= lines[d]
                rest3 -= d3[d]
                rest8 -= d8[d]
                rest20 -= d20[d]
                rest6 -= t6[d]
                rest85 -= t85[d]
                rest_last -= recent[d, 1]
            side = 1.0 if private_label[p] else -1.0
            out[i, j, _PRIVATE] = side * (private_in - 0.3)
            out[i, j, _PRIVATE_ELSEWHERE] = side * (private_out - 0.3)
            if n > 0:
                out[i, j, _TIER] = log_price - tier
                out[i, j, _TIER_DISTANCE] = abs(out[i, j, _TIER])
            out[i, j, _FREQUENCY] = math.log(
                ((d20[d] if d >= 0 else 0.0) + 1.5 * math.exp(pop)) / (s20 + 1.5)
            )
            # shared maker and size, and other households' moves, over the customer's own products
            share_m = share_s = share_ms = last_m = last_s = maker_lines = 0.0
            co = co_weight = lift = move_last = move_all = move_weight = 0.0
            base, size_of_category = offset[p], width[p]
            taken_c = 1 if d >= 0 and before[d] else 0
            n_c = households[p] - taken_c
            for e in range(m):
                q = item[e]
                weight = d20[e] / s20
                if maker[q] == maker[p] and maker[p] >= 0:
                    share_m += weight
                    maker_lines += lines[e]
                    if recent[e, 1] > 0:
                        last_m = 1.0
                    if size[q] == size[p] and size[p] >= 0:
                        share_ms += weight
                if size[q] == size[p] and size[p] >= 0:
                    share_s += weight
                    if recent[e, 1] > 0:
                        last_s = 1.0
                if base < 0:
                    continue
                cell = base + np.int64(local[q]) * size_of_category + local[p]
                taken_q = 1 if before[e] else 0
                n_q = households[q] - taken_q
                if q != p:
                    both = together[cell] - taken_q * taken_c
                    co += weight * both / (n_q + 2.0)
                    co_weight += weight
                    lift += weight * math.log(
                        (both + 0.5) / ((n_q + 1.0) * (n_c + 1.0) / (category_households[i] + 1.0) + 0.5)
                    )
                moves = follow[cell] - (own_follow[e, d] if d >= 0 else 0)
                rate = (moves + 2.0 * math.exp(pop)) / (leave[q] - own_leave[e] + 2.0)
                move_all += weight * rate
                if recent[e, 1] > 0:
                    move_last += rate
                    move_weight += 1.0
            out[i, j, _MAKER] = share_m
            out[i, j, _SIZE] = share_s
            out[i, j, _MAKER_SIZE] = share_ms
            out[i, j, _MAKER_LAST] = last_m
            out[i, j, _SIZE_LAST] = last_s
            if maker[p] >= 0 and c1 > c0:
                # the customer's lines of this maker before now, less those of this category
                lo, hi = c0, customer_start[customer[i] + 1]
                a = lower_bound(maker_of_line, lo, hi, maker[p])
                b = lower_bound(maker_of_line, a, hi, maker[p] + 1)
                b = lower_bound(maker_time, a, b, now)
                elsewhere = max(b - a - maker_lines, 0.0)
                out[i, j, _MAKER_ELSEWHERE] = math.log((elsewhere + 0.5) / (all_lines - n + 25.0)) + 4.0
            out[i, j, _TOGETHER] = math.log(co / max(co_weight, 1e-6) + 0.003) if co_weight > 0 else -4.0
            out[i, j, _TOGETHER_LIFT] = lift / co_weight if co_weight > 0 else 0.0
            if m > 0 and base >= 0:
                move_last /= max(move_weight, 1.0)
                out[i, j, _FOLLOW_LAST] = math.log(move_last + 1e-4)
                out[i, j, _FOLLOW_ALL] = math.log(move_all + 1e-4)
                out[i, j, _FOLLOW_LIFT] = out[i, j, _FOLLOW_ALL] - pop
            else:
                out[i, j, _FOLLOW_LAST] = pop
                out[i, j, _FOLLOW_ALL] = pop
        context[i, 10] = on_slate
        if other_column >= 0:
            j = other_column
            out[i, j, _SINCE] = math.log(61.0)
            out[i, j, _FREQUENCY] = math.log(
                (max(rest20, 0.0) + 1.5 * math.exp(popularity[i, j])) / (s20 + 1.5)
            )
            out[i, j, _FOLLOW_LAST] = popularity[i, j]
            out[i, j, _FOLLOW_ALL] = popularity[i, j]
            if n > 0:
                out[i, j, _LINES] = math.log(1.0 + rest_lines)
                out[i, j, _SHARE] = rest_lines / n
                out[i, j, _DECAY3] = max(rest3, 0.0) / (s3 + 0.2)
                out[i, j, _DECAY8] = max(rest8, 0.0) / (s8 + 0.2)
                out[i, j, _DECAY20] = max(rest20, 0.0) / (s20 + 0.2)
                out[i, j, _TRIP6] = max(rest6, 0.0) / r6
                out[i, j, _TRIP85] = max(rest85, 0.0) / r85
                out[i, j, _LAST] = rest_last / trip_size
        for d in range(m):
            slot[item[d]] = -1
