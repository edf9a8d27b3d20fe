"""What stays in memory for the garbage collector, which seldom comes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def no_exception_stays() -> AsyncIterator[None]:
    """Asserts that every exception in here is gone without the collector. What stays holds the frames that it passed,
    and with them requests."""
    gc.collect()
    before = {id(each) for each in _exceptions()}
    gc.disable()
    try:
        yield
        for _ in range(100):  # what is on its way to its end
            if all(id(each) in before for each in _exceptions()):
                break
            await asyncio.sleep(0.001)
        left = [_path(each) for each in _exceptions() if id(each) not in before]
    finally:
        gc.enable()
    assert left == []


def _exceptions() -> list[BaseException]:
    # Not isinstance: other tests leave stand-ins of the SDK's sandbox, which refuse to be asked for their class.
    return [each for each in gc.get_objects() if issubclass(type(each), BaseException)]


def _path(error: BaseException) -> str:
    names, trace = [], error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_qualname)
        trace = trace.tb_next
    return f"{error!r} of {' > '.join(names)}"
