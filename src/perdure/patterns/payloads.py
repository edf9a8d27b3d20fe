"""Payloads near or above the limit of 2 MB: they go to a storage outside, and histories have a reference.

client = await Client.connect("127.0.0.1:7233", data_converter=large_payloads("/mnt/shared/payloads"))

Clients and workers need the same. The SDK's external storage does it, which is experimental.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    DataConverter,
    ExternalStorage,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

ABOVE = 256 * 1024
"""Bytes from which on a payload goes outside. Servers warn of half a megabyte, and refuse two."""
LARGEST_ABOVE = 2 * 1024 * 1024
DRIVER = "perdure.folder"
"""In histories: never to be changed."""


class FolderDriver(StorageDriver):
    """Payloads as files of a folder, named by their SHA-256: the same payload is stored once.

    A file is on the disk before anything refers to it, and its content is checked when it is read. Nothing is deleted:
    a payload is needed as long as a history that has it, open or retained.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    def name(self) -> str:
        return DRIVER

    async def store(self, context: StorageDriverStoreContext, payloads: Sequence[Payload]) -> list[StorageDriverClaim]:
        """One claim each."""
        return [StorageDriverClaim({"sha256": await asyncio.to_thread(self._write, each)}) for each in payloads]

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """Raises `RuntimeError` for what is not there, or not what was stored."""
        return [await asyncio.to_thread(self._read, claim.claim_data["sha256"]) for claim in claims]

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest

    def _write(self, payload: Payload) -> str:
        data = payload.SerializeToString(deterministic=True)
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=path.parent, prefix=".")
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(number)
                os.replace(name, path)
                _sync_folder(path.parent)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
                raise
        return digest

    def _read(self, digest: str) -> Payload:
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            text = f"payload {digest} is not in {self._folder}: clients and workers need the same folder"
            raise RuntimeError(text) from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise RuntimeError(f"{path} is damaged: its content is another one than was stored")
        return Payload.FromString(data)


def large_payloads(
    where: str | os.PathLike[str] | StorageDriver,
    *,
    above: int = ABOVE,
    converter: DataConverter = DataConverter.default,
) -> DataConverter:
    """A data converter that keeps payloads of more than `above` bytes elsewhere, for clients, and so for their workers.

        client = await Client.connect("127.0.0.1:7233", data_converter=large_payloads("/mnt/shared/payloads"))

    `where` is a folder that all clients and workers see, or a driver of the SDK, such as those for S3 and Google Cloud
    Storage in `temporalio.contrib`. `converter` does the rest; what its codec encrypts is encrypted there, too.
    """
    if not 0 <= above <= LARGEST_ABOVE:
        raise ValueError(f"above is {above}: it has to be from 0 to {LARGEST_ABOVE} bytes, which servers refuse")
    if converter.external_storage is not None:
        raise ValueError("the converter has an external storage: give it one only")
    driver = where if isinstance(where, StorageDriver) else FolderDriver(where)
    return replace(converter, external_storage=ExternalStorage([driver], payload_size_threshold=above))


def _sync_folder(folder: Path) -> None:
    """So that the file's name lasts, too; where folders can be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
