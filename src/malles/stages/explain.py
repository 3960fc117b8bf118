"""Stage 8: one customer's profile and one decision, taken apart.

    contribution of a group of features = log P(j) − log P(j with the group set to the slate's mean)

It asks the model itself, so it holds for any model; contributions need not add up where features interact.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from malles.choice.model import ChoiceModel
from malles.engines import market_model
from malles.profiles.customer import build_profiles
from malles.profiles.wording import describe_profile
from malles.road import Road
from malles.stages.models import CODE
from malles.stages.transactions import read_plain, write_plain
from malles.vocabulary import Catalogue, ChoiceData, Promotion

GROUPS = {
    "own purchases of the product": ("own_",),
    "own habits: maker, size, label, price level": (
        "maker_", "size_", "private_", "price_to_", "price_tier", "taste_",
    ),
    "what others bought next": ("follow_", "together"),
    "price and discount": ("log_price", "price_", "discount", "list_gap", "unit_price_gap", "amount_gap"),
    "display, mailer and coupon": (
        "display", "mailer", "coupon", "chain_display", "chain_mailer", "weeks_since_mailer",
    ),
    "popularity": (
        "popularity", "chain_", "store_", "households", "repeat_rate", "lines_per_household",
    ),
}  # fmt: skip
"""Feature groups by the beginning of a feature's name; the first group that fits takes it."""


def explain_one_decision(road: Road) -> None:
    """A customer with a past, in the last scored week, decided by the last model of the configuration."""
    name = market_model(road.config.models.names)
    road.steps["decision"] = road.run.step(
        "decision",
        "08-decision.json",
        build=lambda: _explain(road, name),
        save=write_plain,
        load=read_plain,
        settings=[name, road.config.occasions.regime],
        inputs=[road.steps[f"model {name}"], road.steps["predictions"]],
        code=(*CODE, "stages/explain"),
    )


def _explain(road: Road, name: str) -> dict[str, Any]:
    occasions = road.occasions("valid")
    probability = road.steps["predictions"].value[name]
    row = telling_row(occasions.chosen, probability, occasions.customer)
    data = road.features("valid").take(np.array([row]))
    return explain_row(road.catalogue, road.steps[f"model {name}"].value, data)


def telling_row(chosen: np.ndarray, probability: np.ndarray, customer: np.ndarray) -> int:
    """The occasion of a frequent customer whose leading probability is nearest to three in five."""
    frequent = np.bincount(customer[customer >= 0])[customer] >= np.quantile(
        np.bincount(customer[customer >= 0])[customer], 0.5
    )
    away = np.abs(probability.max(axis=1) - 0.6) + np.where(frequent, 0.0, 1.0)
    return int(np.argmin(away))


def explain_row(catalogue: Catalogue, model: ChoiceModel, data: ChoiceData) -> dict[str, Any]:
    """Profile, choice set with probabilities, and what the leading alternative's probability owes to what."""
    o = data.occasions
    probability = np.asarray(model.predict(data))[0]
    lead = int(probability.argmax())
    names = [_name(catalogue, int(p)) for p in o.product[0]]
    customer = int(o.customer[0])
    profiles = build_profiles(catalogue, before=int(o.timestamp[0]))
    numbers = profiles.numbers[customer]
    shown = [j for j in np.argsort(-probability) if o.available[0, j]]
    return {
        "heading": f"Customer {catalogue.customer_key[customer]}, week {int(o.week[0])}, "
        f"{catalogue.category_name[int(o.category[0])]}",
        "model": model.name,
        "profile": {n: float(v) for n, v in zip(profiles.names, numbers, strict=True)},
        "profile_text": describe_profile(profiles, catalogue, customer),
        "alternatives": [
            {
                "alternative": names[j],
                "price": float(o.price[0, j]),
                "list_price": float(o.list_price[0, j]),
                "promotion": promotion_words(int(o.promotion[0, j])),
                "probability": float(probability[j]),
                "chosen": bool(j == int(o.chosen[0])),
            }
            for j in shown
        ],
        "contributions_of": names[lead],
        "contributions": [
            {"term": title, "contribution": gain}
            for title, gain in contributions(model, data, lead, float(probability[lead])).items()
        ],
    }


def contributions(model: ChoiceModel, data: ChoiceData, lead: int, probability: float) -> dict[str, float]:
    """What log P of the leading alternative lost when a group of its features is set to the slate's mean."""
    there = data.occasions.available[0] & (data.occasions.product[0] >= 0)
    found: dict[str, float] = {}
    taken: set[int] = set()
    for title, beginnings in GROUPS.items():
        columns = [
            i for i, name in enumerate(data.feature_names) if i not in taken and name.startswith(beginnings)
        ]
        taken.update(columns)
        if not columns:
            continue
        features = data.features.copy()
        features[0, lead, columns] = data.features[0][there][:, columns].mean(axis=0)
        without = float(np.asarray(model.predict(replace(data, features=features)))[0, lead])
        found[title] = float(np.log(max(probability, 1e-12)) - np.log(max(without, 1e-12)))
    return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def promotion_words(kind: int) -> str:
    """The bits of a promotion in words.

    >>> promotion_words(3)
    'display, mailer'
    """
    words = {
        Promotion.DISPLAY: "display",
        Promotion.MAILER: "mailer",
        Promotion.MAILER_PAGE: "front or back page",
        Promotion.COUPON: "coupon",
    }
    return ", ".join(word for bit, word in words.items() if kind & bit)


def _name(catalogue: Catalogue, product: int) -> str:
    if product < 0:
        return ""
    return f"{catalogue.products.text[product]} ({catalogue.products.key[product]})"
