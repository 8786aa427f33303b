"""Both ends of buffers of shared memory, in one process."""

from __future__ import annotations

from steadypool.pools.processes.ipc.buffers import NUMBERS, BufferPool, BufferReader, Description, Loan
from steadypool.pools.processes.ipc.memory_file import Buffer


class Ends:
    """A writer and a reader over the same marks."""

    def __init__(self) -> None:
        self.marks = memoryview(bytearray(NUMBERS))
        self.pool, self.reader = BufferPool(self.marks), BufferReader(self.marks)

    def open(self, loan: Loan) -> list[memoryview]:
        return self.reader.open(Description.read(loan.describe()), loan.fd).parts()

    def carry(self, *parts: Buffer) -> list[memoryview]:
        """What comes out at the other end."""
        return self.open(self.pool.lend(parts))

    def close(self) -> None:
        self.pool.close()
        self.reader.close()

    def slabs(self) -> dict[int, int]:
        """The capacity of each."""
        return {number: slab.capacity for number, slab in self.pool._slabs.items()}
