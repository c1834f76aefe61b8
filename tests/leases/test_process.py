"""Leases among the requests of one process."""

from carryall.leases.process import ProcessLeases
from carryall.ports.leases import Leases
from carryall.testing.leases_contract import LeasesContract


class TestProcessLeases(LeasesContract):
    """The leases of one process keep the contract."""

    def make_leases(self) -> Leases:
        """Give leases that nobody holds."""
        return ProcessLeases()
