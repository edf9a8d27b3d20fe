"""The people of the story: how each of them reads a mail, and what they press on the page that its link opens."""

from __future__ import annotations

import asyncio
import http.client
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from temporalio import activity
from temporalio.client import Client

from perdure.patterns import Approvals, Notice

BROWSER = {"accept": "text/html", "content-type": "application/x-www-form-urlencoded"}


@dataclass
class People:
    client: Client
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Person and subject -> mails about it."""
    statuses: Counter[int] = field(default_factory=Counter)
    """What the pages answered, by HTTP status."""
    replies: Counter[str] = field(default_factory=Counter)
    """What the application answered to those who have an account."""

    async def read(self, notice: Notice, link: str) -> None:
        """First the scanner of the mail server follows the link, then the person does, or does not."""
        who, what = notice.to, notice.request.subject
        self.seen[who, what] += 1
        await self.browse("GET", link)
        if who == "carol":
            await self._carol(notice, link)
        elif who == "fred" and self.seen[who, what] == 2:  # needs a reminder
            await self.press(link, "reject" if "machine" in what else "approve", "Finance has a look at it")
        elif who == "dora" and "nobody has heard of" not in what:
            await self.press(link, "approve")
        elif who in ("ann", "ben"):  # to whom carol hands what she has no time for
            await self.press(link, "approve", "for carol")
        elif who == "ivan" and "twice" in what:
            await self._say(await self._approvals().withdraw("hugo", "I have it already"))
        # gina and ivan don't answer mails.

    async def _carol(self, notice: Notice, link: str) -> None:
        """Hands the trips to ben; that he can't decide on his own ones she hears from the application."""
        if "Minibar" in notice.request.subject:
            await self.press(link, "reject", "not on us")
        elif "Oslo" in notice.request.subject:
            reply = await self._approvals().delegate("carol", "ben", "no time")
            await self._say(reply)
            if not reply.taken:
                await self.press(link, "approve")
        else:
            await self.press(link, "approve")
            await self.press(link, "approve")  # a double click

    def _approvals(self) -> Approvals:
        return Approvals(self.client, str(activity.info().workflow_id))

    async def _say(self, reply: object) -> None:
        self.replies[str(getattr(reply, "status", ""))] += 1

    async def press(self, link: str, button: str, reason: str = "") -> None:
        await self.browse("POST", link, urlencode({"do": button, "reason": reason}))

    async def browse(self, method: str, link: str, form: str | None = None) -> str:
        """As a browser does."""

        def fetch() -> tuple[int, str]:
            parts = urlsplit(link)
            with closing(http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)) as connection:
                connection.request(method, parts.path, form, BROWSER)
                response = connection.getresponse()
                return response.status, response.read().decode()

        status, page = await asyncio.to_thread(fetch)
        self.statuses[status] += 1
        return page
