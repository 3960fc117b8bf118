import numpy as np
import pytest

from malles.calibration.drift import DriftPrior, follow_shares, select_prior
from malles.errors import DataError, OccasionError

PRODUCTS = 6
FAMILY = np.array([0, 0, 0, 1, 1, 1])


def market(bias: np.ndarray, per_week: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Choices in weeks 1, 2, ...: the model's P, tilted by the week's true bias [week, product]."""
    rng = np.random.default_rng(seed)
    weeks = len(bias)
    week = np.repeat(np.arange(1, weeks + 1), per_week)
    n = len(week)
    p = rng.dirichlet(np.ones(PRODUCTS) * 2, n)
    q = p * np.exp(bias[week - 1])
    q /= q.sum(1, keepdims=True)
    chosen = np.minimum((q.cumsum(1) < rng.random((n, 1))).sum(1), PRODUCTS - 1)
    return p, np.ones(p.shape, bool), chosen, np.tile(np.arange(PRODUCTS), (n, 1)), week


def centred(bias: np.ndarray) -> np.ndarray:
    return bias - bias.mean()


def test_a_lasting_bias_is_recovered():
    """4,000 choices a week for 4 weeks tell a bias to about 0.03."""
    truth = np.array([0.4, -0.3, 0.2, 0.0, -0.4, 0.1])
    prior = DriftPrior(1.0, 1.0, 0.0, shock=0.0)
    found = follow_shares(*market(np.tile(truth, (4, 1)), 4000), family=FAMILY, prior=prior)
    bias, sharpness = found.known(5)
    np.testing.assert_allclose(centred(bias), centred(truth), atol=0.08)
    assert sharpness == pytest.approx(1.0, abs=0.03)


def test_a_week_is_predicted_from_earlier_weeks_only():
    """Other choices in week 3 change what is known for week 4, and nothing before."""
    p, there, chosen, product, week = market(np.zeros((4, PRODUCTS)), 300)
    other = chosen.copy()
    other[week == 3] = 0
    a, b = (
        follow_shares(p, there, c, product, week, family=FAMILY, prior=DriftPrior()) for c in (chosen, other)
    )
    for w in (1, 2, 3):
        np.testing.assert_array_equal(a.known(w)[0], b.known(w)[0])
    assert b.known(4)[0][0] > a.known(4)[0][0] + 0.1
    np.testing.assert_array_equal(a.known(1)[0], 0.0)


def test_what_is_known_fades_when_nobody_looks():
    p = market(np.tile([0.5, 0, 0, 0, 0, 0], (2, 1)), 2000)
    found = follow_shares(*p, family=np.full(PRODUCTS, -1), prior=DriftPrior(persistence=0.5, shock=0.0))
    np.testing.assert_allclose(found.known(6)[0], found.known(3)[0] * 0.5**3)
    np.testing.assert_array_equal(found.known(5, before=3)[0], found.known(3)[0] * 0.5**2)
    np.testing.assert_array_equal(found.known(9, before=1)[0], 0.0)


def test_one_odd_week_is_not_taken_for_a_trend():
    """With shocks in the model a week of any size moves the bias at most by its share of the variance."""
    odd = np.zeros((1, PRODUCTS))
    odd[0, 0] = 0.6
    moved = [
        float(
            centred(
                follow_shares(
                    *market(odd, 8000),
                    family=np.full(PRODUCTS, -1),
                    prior=DriftPrior(0.3, 1.0, 0.0, shock=shock),
                ).known(2)[0]
            )[0]
        )
        for shock in (0.0, 0.3)
    ]
    assert moved[0] == pytest.approx(0.5, abs=0.07)  # 0.6 less its own sixth
    assert moved[1] == pytest.approx(moved[0] / 2, rel=0.15)


def test_a_product_never_seen_gets_what_its_family_shares():
    p, there, chosen, product, week = market(np.tile([0.5, 0.5, 0.5, 0, 0, 0], (3, 1)), 1500)
    family = np.append(FAMILY, [0, 1, -1])
    found = follow_shares(p, there, chosen, product, week, family=family, prior=DriftPrior(0.1, 0.9, 0.5))
    bias = found.known(4)[0]
    assert bias[6] - bias[7] > 0.25
    assert bias[8] == 0.0


def test_probabilities_stay_probabilities_and_unknown_products_keep_theirs():
    p, there, chosen, product, week = market(np.zeros((2, PRODUCTS)), 200)
    there[:, 5] = False
    chosen = np.minimum(chosen, 4)
    found = follow_shares(p, there, chosen, product, week, family=FAMILY, prior=DriftPrior())
    q = found.apply(p, there, product, week)
    np.testing.assert_allclose(q.sum(1), 1.0)
    assert (q[:, 5] == 0).all()
    late = np.full(len(week), 3)
    strange = found.apply(p, there, product + 100, late)
    sharp = np.where(there, p, 0) ** found.known(3)[1]
    np.testing.assert_allclose(strange, sharp / sharp.sum(1, keepdims=True), rtol=1e-9)


def test_the_prior_is_chosen_by_what_it_predicts():
    """Without drift the smallest spread predicts best; with large lasting biases the largest one does."""
    candidates = (DriftPrior(0.01, 1.0, 0.0, shock=0.0), DriftPrior(0.8, 1.0, 0.0, shock=0.0))
    none = select_prior(*market(np.zeros((4, PRODUCTS)), 200), family=FAMILY, candidates=candidates)
    some = select_prior(
        *market(np.tile([1.0, -1.0, 0.5, 0, 0, -0.5], (4, 1)), 200), family=FAMILY, candidates=candidates
    )
    assert (none.prior, some.prior) == candidates
    assert some.log_loss.min() < some.log_loss_before - 0.05


def test_what_cannot_be_followed_is_one_sentence():
    p, there, chosen, product, week = market(np.zeros((1, PRODUCTS)), 20)
    with pytest.raises(DataError, match="at least two"):
        select_prior(p, there, chosen, product, week, family=FAMILY)
    with pytest.raises(OccasionError, match="held-out"):
        follow_shares(p[:0], there[:0], chosen[:0], product[:0], week[:0], family=FAMILY, prior=DriftPrior())
    there[0, chosen[0]] = False
    with pytest.raises(OccasionError, match="unavailable"):
        follow_shares(p, there, chosen, product, week, family=FAMILY, prior=DriftPrior())
    with pytest.raises(DataError, match="spread > 0"):
        DriftPrior(spread=0.0)
