"""Assertions of these modules are shown with their values, as those of test modules are."""

import pytest

pytest.register_assert_rewrite("tests.simulation.checks", "tests.simulation.world")
