from collections.abc import Iterator

import pytest

from tests.bench.scripted_server import Script, ScriptedServer, StartServer


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start scripted servers; all are closed afterwards."""
    made: list[ScriptedServer] = []

    def start(script: Script) -> ScriptedServer:
        made.append(ScriptedServer(script))
        return made[-1]

    yield start
    for server in made:
        server.close()
