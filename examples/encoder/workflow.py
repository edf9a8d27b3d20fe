"""A video: encoded outside, taken up where it was when the encoder goes silent, and published."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from examples.encoder.activities import Encoded, Job, Studio, Video, whole
    from perdure.patterns import CallbackFailed, CallbackStalled, callback, method, options

SILENCE = timedelta(minutes=5)
"""So long without a heartbeat, and the encoder counts as dead."""
AT_MOST = timedelta(hours=6)
ATTEMPTS = 3


@workflow.defn
class Publish:
    @workflow.run
    async def run(self, video: Video) -> str:
        """Published, given up, or what the encoder says is wrong; the author hears of it."""
        outcome = await self._encode_and_publish(video)
        await workflow.execute_activity_method(Studio.tell, args=[video, outcome], **options.flaky_api.config())
        return outcome

    async def _encode_and_publish(self, video: Video) -> str:
        frame = 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                encoded = await callback(
                    Encoded,
                    Job(video, frame, attempt),
                    notify=method(Studio.submit),
                    expires=AT_MOST,
                    stall_timeout=SILENCE,
                    check=whole(video),
                    id=f"attempt-{attempt}",
                )
            except CallbackStalled as stalled:
                frame = stalled.progress(int) or frame
            except CallbackFailed as failed:
                return failed.reason
            else:
                await workflow.execute_activity_method(
                    Studio.publish, args=[video, encoded], **options.flaky_api.config()
                )
                return "published"
        return "given up"
