import threading
import time

import pytest

from cai.asking.transport.faults import Fault
from cai.asking.transport.http import OutOfService
from cai.asking.transport.pool import in_flight


def test_in_flight_keeps_as_many_running_as_told():
    together = threading.Barrier(3, timeout=10)

    def wait(item: int) -> int:
        together.wait()  # broken, and so an error, unless three run at the same time
        return item * item

    results = dict(in_flight(wait, range(9), 3, threading.Event()))
    assert results == {n: n * n for n in range(9)}


def test_in_flight_raises_the_first_exception_and_begins_nothing_new():
    begun = []
    stop = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    with pytest.raises(ValueError, match="two"):
        list(in_flight(work, range(1000), 1, stop))
    assert stop.is_set()
    assert begun == [0, 1, 2]


@pytest.mark.parametrize(
    "error",
    [OutOfService("http://here", Fault("service", "quota", "no money")), ValueError("no money")],
)
def test_answers_that_are_under_way_come_before_a_failure(error):
    together, results = threading.Barrier(2, timeout=10), []

    def work(item: str) -> str:
        together.wait()
        if item == "refused":
            raise error
        time.sleep(0.1)  # it ends after the failure, and may have been paid for
        return item.upper()

    with pytest.raises(type(error), match="no money"):
        results.extend(in_flight(work, ["refused", "paid"], 2, threading.Event()))
    assert results == [("paid", "PAID")]
