"""What evaluation gives fits what the report takes."""

import numpy as np
import polars as pl

from malles.evaluation.calibration_curve import top_choice_curve
from malles.evaluation.comparison import compare_binary, compare_choices, compare_units
from malles.evaluation.promotion import promotion_response
from malles.report.content import ReportContent
from malles.report.page import render_page


def test_results_of_the_evaluation_are_drawn_without_change():
    rng = np.random.default_rng(0)
    n = 300
    product = np.tile(np.array([[-1, 1, 2, 3]]), (n, 1))
    available = product > 0
    list_price = np.where(available, 2.0, 0.0)
    price = np.where(rng.random((n, 4)) < 0.5, 0.8, 1.0) * list_price
    weight = np.where(available, np.exp(-3 * price), 0.0)
    truth = weight / weight.sum(axis=1, keepdims=True)
    chosen = (rng.random((n, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    customer = rng.integers(0, 40, n)
    models = {"uniform": available / 3, "truth": truth}
    table = compare_choices(models, available, chosen, customer, "uniform", rng, draws=50)
    ones = (np.ones(n), np.ones(n))
    table = table.joined(compare_units({"one": ones}, np.ones(n, int), customer, "one", rng, draws=50))
    table = table.joined(
        compare_binary({"base rate": np.full(n, 0.5)}, chosen > 1, customer, "base rate", rng)
    )
    response = promotion_response(
        truth, available, chosen, product, price, list_price, customer, rng, draws=50
    )
    page = render_page(
        ReportContent(
            "Joined",
            scores=table.scores_frame(),
            differences=table.differences_frame(),
            calibration={
                "truth": top_choice_curve(truth, available, chosen, customer, rng, draws=50).to_frame()
            },
            promotion=response.to_frame(),
            promotion_summary=pl.DataFrame([response.summary("truth")]),
        )
    )
    for words in (
        "Log-loss (nats)",
        "Poisson deviance of units",
        "bought or not",
        "Differences to uniform",
        "better",
    ):
        assert words in page
