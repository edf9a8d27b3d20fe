"""What the workflow asks for: to have a video encoded, with a link to call back, and to publish it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from temporalio import activity

from perdure.patterns import CallbackAddress
from perdure.patterns.links import Signer


@dataclass
class Video:
    name: str
    frames: int
    plan: list[str] = field(default_factory=lambda: ["done"])
    """What the encoder does in each attempt."""
    expect: str = "published"
    """How the story has to end."""


@dataclass
class Job:
    video: Video
    frame: int
    """Where to begin."""
    attempt: int


@dataclass
class Encoded:
    """What the encoder sends when it is done."""

    url: str
    frames: int


def whole(video: Video) -> Callable[[Encoded], None]:
    """Refuses what is not all of the video."""

    def check(encoded: Encoded) -> None:
        if encoded.frames != video.frames:
            raise ValueError(f"{encoded.frames} frames of {video.frames}")

    return check


@dataclass
class Studio:
    signer: Signer
    encode: Callable[[Job, str], Awaitable[None]]
    """The outside system; it gets the link to call back."""
    published: dict[str, Encoded] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    """Video -> what its author has heard."""

    @activity.defn
    async def submit(self, address: CallbackAddress, job: Job) -> None:
        """The link is made here and goes out from here: it is in no history."""
        await self.encode(job, self.signer.callback(address))

    @activity.defn
    async def publish(self, video: Video, encoded: Encoded) -> None:
        """Published again, it is the same."""
        self.published[video.name] = encoded

    @activity.defn
    async def tell(self, video: Video, outcome: str) -> None:
        """Tell the author."""
        self.told[video.name] = outcome

    def all(self) -> list[Callable[..., object]]:
        """For the worker."""
        return [self.submit, self.publish, self.tell]
