"""The line between gateways and their store, which a test can cut or let hang, and mend again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class StoreLine:
    """A unix socket that passes everything on to another one."""

    def __init__(self, store: Path, name: str) -> None:
        self.socket = store.with_name(f"{name}.sock")
        self._store = store
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._flows = asyncio.Event()
        self._flows.set()

    async def mend(self) -> None:
        """Everything passes (again)."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._serve, self.socket)

    def hang(self) -> None:
        """Connections stand, also new ones, and nothing passes any more."""
        self._flows.clear()

    async def cut(self) -> None:
        """Connections end in the middle of what they carried, and there are no new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.socket.unlink(missing_ok=True)
        for task in list(self._pairs):
            task.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs[task] = [writer]
        try:
            with suppress(OSError):
                onward = await asyncio.open_unix_connection(self._store)
                self._pairs[task].append(onward[1])
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass_on(reader, onward[1]))
                    both.create_task(self._pass_on(onward[0], writer))
        except asyncio.CancelledError:
            pass  # cut: what is in the buffers is lost
        finally:
            for end in self._pairs.pop(task):
                end.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(65_536):
                await self._flows.wait()
                target.write(piece)
                await target.drain()
        target.close()


@asynccontextmanager
async def store_line(store: Path, name: str = "line") -> AsyncIterator[StoreLine]:
    """A line that is whole; cut at the end."""
    line = StoreLine(store, name)
    await line.mend()
    try:
        yield line
    finally:
        await line.cut()
