import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The connection runs on uvloop in production and has to keep its promises on asyncio's own loop as well."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
