"""Links by which people and outside systems answer a workflow: signed, expiring, made in the activity that sends them.

    signer = Signer(read_keys("links.keys"), "https://example.com/perdure/links")

    @activity.defn
    async def mail(notice: Notice) -> None:
        await send(notice.to, f"{notice.request.subject}: {signer.approval(notice)}")

What they point to is `Links`, a small ASGI application over any client: `perdure up --links-keys-file` mounts it, or an
application of your own does. No part of this belongs in workflow code: keys and links never enter a history.
"""

from perdure.patterns.links.app import Links
from perdure.patterns.links.tokens import BadLink, Link, Signer, read_keys

__all__ = ["BadLink", "Link", "Links", "Signer", "read_keys"]
