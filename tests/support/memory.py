"""Python's garbage collector, told that what the tests import is there to stay.

Without that it goes through all of it again and again: a tenth of the time of a test.
https://docs.python.org/3/library/gc.html#gc.freeze
"""

import gc


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
