import numpy as np

from malles.occasions.families import product_families


def test_a_family_is_a_category_and_a_size():
    family = product_families(
        np.array([0, 0, 0, 1, 1, -1, 1], np.int32), np.array([2, 2, 3, 2, -1, 2, 2], np.int32)
    )
    assert family[0] == family[1]
    assert family[3] == family[6]
    assert len({family[0], family[2], family[3]}) == 3
    assert family[4] == family[5] == -1  # no size; no choice category
