"""What a stack keeps between its runs."""

from dataclasses import astuple

from local.home import Ports


def test_no_port_that_is_chosen_is_the_apis_own():
    assert astuple(Ports.among([1, 2, 3, 4, 5, 6, 7], but=4)) == (1, 2, 3, 5, 6, 7)
    assert astuple(Ports.among([1, 2, 3, 4, 5, 6, 7], but=8)) == (1, 2, 3, 4, 5, 6)
