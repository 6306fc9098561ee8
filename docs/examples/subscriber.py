"""React to every new release, without touching the platform: `deis-platform automation add NAME`
prints the values this needs. Run it with `--once N` to end after N releases."""

import asyncio
import json
import os
import sys

import nats


async def main() -> None:
    bus = await nats.connect(
        os.environ["NATS_URL"],
        user=os.environ["NATS_USER"],
        password=os.environ["NATS_PASSWORD"],
        inbox_prefix=os.environ["NATS_INBOX"].encode(),
    )
    releases = await bus.jetstream().pull_subscribe_bind(os.environ["NATS_DURABLE"], "EVENTS")
    left = int(sys.argv[2]) if sys.argv[1:2] == ["--once"] else -1
    while left:
        for message in await releases.fetch(1, timeout=None):
            if message.headers["ce-type"] == "release.created":
                print(
                    f"release of {message.headers['ce-subject']}:",
                    json.loads(message.data)["summary"],
                    flush=True,
                )
                left -= 1
            await message.ack()


asyncio.run(main())
