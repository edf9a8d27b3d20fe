"""Record what a real server answers: `python -m tests.rpc.http.record HTTP_PORT GRPC_PORT`."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path

from tests.rpc.http.conversation import Conversation, run

GOLDEN = Path(__file__).with_name("golden.json")


async def main(http_port: int, grpc_port: int) -> None:
    talk = Conversation("127.0.0.1", http_port, grpc_port, secrets.token_hex(6))
    answers = await run(talk)
    version = (await talk.request("/api/v1/system-info")).json()["serverVersion"]
    GOLDEN.write_text(json.dumps({"server": version, "answers": answers}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
