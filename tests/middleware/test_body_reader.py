"""Turns of the body reader: few requests work at a time, the longest waiting first."""

from contextlib import suppress
from functools import partial
from threading import Thread

from crossroads.middleware.body_reader import FairSemaphore
from tests.support.sandbox_server import eventually


def waits(turns: FairSemaphore, number: int) -> bool:
    return turns.waiting == number


def test_request_that_waited_longest_is_let_in_next() -> None:
    turns = FairSemaphore(1)
    let_in: list[str] = []

    def work(name: str) -> None:
        with turns:
            let_in.append(name)

    waiting = [Thread(target=work, args=(name,)) for name in ("first", "second", "third")]
    with turns:
        for number, thread in enumerate(waiting, 1):
            thread.start()
            eventually(partial(waits, turns, number))
    work("new")
    for thread in waiting:
        thread.join()
    assert let_in == ["first", "second", "third", "new"]


def test_turn_of_a_request_that_failed_is_free_again() -> None:
    turns = FairSemaphore(2)
    for _ in range(3):
        with suppress(ValueError), turns:
            raise ValueError
    with turns, turns:
        assert turns.waiting == 0
