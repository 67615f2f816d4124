"""Keep Python's garbage collector from scanning imported modules again and again.

https://docs.python.org/3/library/gc.html#gc.freeze
"""

import gc


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
