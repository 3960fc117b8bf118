import numpy as np

from malles.calibration.drift import DriftPrior
from malles.stages.calibrated_scores import calibration_frame, compare_calibration
from malles.stages.choice_drift import empty_drift
from malles.vocabulary import Occasions


def market(n: int = 4000) -> tuple[Occasions, np.ndarray, np.ndarray]:
    """Three products; the model thinks them equal, the first is e times as popular."""
    rng = np.random.default_rng(0)
    product = np.tile(np.array([-1, 0, 1, 2], np.int32), (n, 1))
    odds = np.array([np.e, 1.0, 1.0])
    chosen = 1 + rng.choice(3, n, p=odds / odds.sum())
    zero = np.zeros(n, np.int32)
    price = np.tile(np.array([0, 1, 2, 3], np.float32), (n, 1))
    o = Occasions(
        rng.integers(0, 300, n).astype(np.int32), zero, np.arange(n), np.full(n, 6, np.int16), np.arange(n),
        zero, product, price, price, np.zeros((n, 4), np.uint8), product >= 0, np.zeros((n, 4), np.int16),
        chosen.astype(np.int16), zero + 1,
    )  # fmt: skip
    equal = np.where(product >= 0, 1 / 3, 0.0)
    return o, equal, np.array([1.0, 0.0, 0.0])


def test_a_bias_that_is_followed_makes_shares_and_choices_better():
    o, equal, bias = market()
    drift = empty_drift(6, np.full(3, -1), DriftPrior())
    right = type(drift)(
        drift.week, bias[None], drift.deviation, drift.family_bias, drift.sharpness, drift.family,
        drift.persistence,
    )  # fmt: skip
    rows = {(r["level"], r["measure"]): r for r in compare_calibration(equal, right, o, 50, 1)}
    assert rows["category", "kl distance above its floor"]["verdict"] == "better"
    assert rows["single choices", "log loss"]["verdict"] == "better"
    assert abs(rows["category", "kl distance above its floor"]["after"]) < 0.003
    same = compare_calibration(equal, drift, o, 50, 1)
    assert {r["verdict"] for r in same} == {"no difference shown"}
    assert calibration_frame(same).columns[:4] == ["level", "measure", "before", "after"]
