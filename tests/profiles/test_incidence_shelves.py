import numpy as np

from malles.occasions.promotions import PromotionIndex
from malles.occasions.shelves import Shelves
from malles.profiles.incidence_shelves import shelves_by_week
from malles.vocabulary import PADDING, Offers


def test_every_store_finds_its_own_shelf_and_no_slate_is_minus_one():
    """Weeks 9 and 10; shelves 0 (store 1) and 1 (the chain, stores 0 and 2); category 1 has no slate in the
    chain.
    """
    product = np.arange(2 * 2 * 2 * 3, dtype=np.int32).reshape(2, 2, 2, 3)
    product[:, 1, 1] = PADDING
    product[:, 0, 0, 2] = PADDING
    one = np.ones(product.shape, np.float32)
    none = np.zeros(0, np.int32)
    time = np.zeros(0, np.int64)
    promotions = PromotionIndex(
        np.zeros(1, np.int64),
        none,
        np.zeros(0, np.uint8),
        3,
        Offers(none, none, time, time),
        np.zeros(1, np.int64),
    )
    shelves = Shelves(
        9, np.array([1, 0, 1], np.int32), product, one, one * 2, np.zeros(product.shape, np.uint8), promotions
    )
    found = shelves_by_week(shelves)
    assert sorted(found) == [9, 10]
    np.testing.assert_array_equal(found[10].row[0], found[10].row[2])
    np.testing.assert_array_equal(found[10].row[:, 1] >= 0, [False, True, False])
    for store, shelf in ((0, 1), (1, 0)):
        np.testing.assert_array_equal(found[10].product[found[10].row[store, 0]], product[1, shelf, 0])
    np.testing.assert_array_equal(found[9].rank[found[9].row[1, 0]], [0, 1, -1])
    assert np.shares_memory(found[9].price, one)
