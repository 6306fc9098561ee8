"""Numbers for the profiles of applications."""

from deis_services.router.policy import PLAIN, Profile
from deis_services.router.profiles import MOST, Profiles

SLOW = Profile(idle_ms=1)
FAST = Profile(idle_ms=2)


def test_the_same_wishes_have_one_number_once_nginx_knows_it() -> None:
    held = Profiles()
    assert held.take(SLOW)
    assert held.take(SLOW)
    assert held.take(FAST)
    assert held.wanted() == {1: SLOW, 2: FAST}
    assert held.number(SLOW) == 0
    assert held.known(held.wanted()) == {SLOW, FAST}
    assert (held.number(SLOW), held.number(FAST), held.number(PLAIN)) == (1, 2, 0)


def test_a_number_that_is_free_again_does_not_stand_for_the_old_wishes() -> None:
    held = Profiles()
    held.take(SLOW)
    held.known(held.wanted())
    held.drop(SLOW)
    assert held.wanted() == {}
    held.take(FAST)
    assert held.wanted() == {1: FAST}
    assert held.number(FAST) == 0
    assert held.known({1: FAST}) == {FAST}
    assert held.number(FAST) == 1


def test_the_last_user_gives_the_number_back() -> None:
    held = Profiles()
    held.take(SLOW)
    held.take(SLOW)
    held.drop(SLOW)
    assert held.wanted() == {1: SLOW}


def test_there_are_so_many_numbers_and_no_more() -> None:
    held = Profiles()
    every = [Profile(idle_ms=number + 1) for number in range(MOST + 1)]
    assert [held.take(profile) for profile in every] == [True] * MOST + [False]
    held.drop(every[-1])
    held.drop(every[0])
    assert held.take(every[-1])
    assert held.number(every[-1]) == 0
    assert held.take(PLAIN)
