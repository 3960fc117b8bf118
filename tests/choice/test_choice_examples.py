"""The examples in the docstrings of the choice room run."""

import doctest
import importlib

import numpy as np
import pytest

MODULES = ["probability", "likelihood", "elasticity", "welfare", "incidence", "scale"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_module_are_true(name):
    module = importlib.import_module(f"malles.choice.{name}")
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0
