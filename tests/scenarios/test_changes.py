import numpy as np
import pytest

from malles.errors import ConfigError
from malles.scenarios.changes import CHANGES, Delist, Display, Mailer, PriceChange, Scenario
from malles.vocabulary import OUTSIDE, PADDING, Occasions


def shop(n: int = 3) -> Occasions:
    """Three occasions: weeks 1, 2, 3; stores 0, 1, 0; products 5 (2.00) and 6 (3.00) on the shelf."""
    product = np.tile(np.array([OUTSIDE, 5, 6], np.int32), (n, 1))
    price = np.tile(np.array([0, 2, 3], np.float32), (n, 1))
    return Occasions(
        customer=np.arange(n, dtype=np.int32), store=np.array([0, 1, 0], np.int32)[:n],
        basket=np.arange(n, dtype=np.int64), week=np.arange(1, n + 1, dtype=np.int16),
        timestamp=np.arange(n, dtype=np.int64), category=np.zeros(n, np.int32), product=product, price=price,
        list_price=price.copy(), promotion=np.zeros((n, 3), np.uint8), available=product >= 0,
        rank=np.tile(np.array([-1, 0, 1], np.int16), (n, 1)), chosen=np.full(n, -1, np.int16),
        units=np.zeros(n, np.int32),
    )  # fmt: skip


def test_a_price_cut_of_a_fifth_takes_two_to_one_sixty():
    after = Scenario("cut", (PriceChange(5, relative=-0.2),)).apply(shop())
    np.testing.assert_allclose(after.price, np.tile([0, 1.6, 3], (3, 1)), rtol=1e-6)
    np.testing.assert_array_equal(after.list_price, shop().list_price)


def test_a_price_above_the_list_price_raises_it():
    after = PriceChange(5, absolute=2.5).apply(shop())
    assert after.list_price[0, 1] == 2.5


def test_a_change_is_limited_to_its_weeks_and_stores():
    after = Display(6, weeks=(2, 3), stores=(0,)).apply(shop())
    np.testing.assert_array_equal(after.promotion[:, 2], [0, 0, 1])
    assert after.promotion[:, :2].sum() == 0


def test_display_and_mailer_are_set_and_cleared_separately():
    both = Scenario("both", (Display(5), Mailer(5))).apply(shop())
    np.testing.assert_array_equal(both.promotion[:, 1], 3)
    np.testing.assert_array_equal(Display(5, on=False).apply(both).promotion[:, 1], 2)


def test_a_delisted_product_leaves_padding_and_the_shape():
    after = Delist(5).apply(shop())
    assert after.shape == shop().shape
    np.testing.assert_array_equal(after.product[:, 1], PADDING)
    assert not after.available[:, 1].any()
    assert after.available[:, 2].all()


def test_the_given_occasions_stay_as_they_were():
    before = shop()
    Scenario("all", (PriceChange(5, relative=0.1), Display(5), Delist(6))).apply(before)
    np.testing.assert_array_equal(before.price, shop().price)
    np.testing.assert_array_equal(before.product, shop().product)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"relative": 0.1, "absolute": 1.0}, {"relative": -1.0}, {"absolute": 0.0}, {"absolute": np.inf}],
)
def test_an_impossible_price_is_refused_in_one_sentence(wrong):
    with pytest.raises(ConfigError, match=r"relative|absolute"):
        PriceChange(5, **wrong)


def test_every_change_is_listed_by_name():
    assert sorted(CHANGES) == ["delist", "display", "mailer", "price"]
