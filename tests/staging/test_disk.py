"""Staging on the local disk."""

from collections.abc import AsyncIterator
from pathlib import Path

from carryall.ports.staging import Staging
from carryall.staging.disk import DiskStaging
from carryall.testing.staging_contract import StagingContract


class TestDiskStaging(StagingContract):
    """Staging on the disk keeps the contract."""

    async def make_staging(self, tmp_path: Path) -> AsyncIterator[Staging]:
        """Give staging in an empty folder."""
        staging = DiskStaging(tmp_path)
        staging.prepare()
        yield staging
        staging.close()
