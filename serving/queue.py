"""Gradio's queue, made fair: by itself it serves in order of arrival, however many events come from one visitor."""

from collections import Counter
from typing import Any

import gradio as gr
from gradio.queueing import Event, EventQueue

from serving import limits
from serving.gate import CROWDED, address_of

PRIVATE = ("event_queue_per_concurrency_id", "pending_event_ids_session", "pending_messages_per_session", "push")


def make_fair(page: gr.Blocks) -> None:
    """To be called after `page.queue`: addresses are served in turn, each its own events in order of arrival.

    An address may have `limits.QUEUED` events waiting. Gradio has no setting for this, so a method of its queue is
    replaced. Raises `ImportError` where Gradio's private names have changed.
    """
    queue: Any = getattr(page, "_queue", None)
    missing = [name for name in PRIVATE if not hasattr(queue, name)]
    if missing or not hasattr(EventQueue("", 1), "queue"):
        raise ImportError(f"Gradio {gr.__version__} has a queue unknown to this program. See requirements.txt.")
    push = queue.push

    async def push_fairly(body: Any, request: Any, username: str | None) -> tuple[bool, Any, str]:
        waiting = [event for line in queue.event_queue_per_concurrency_id.values() for event in line.queue]
        address = address_of(request.scope)
        own = sum(address_of(event.request.scope) == address for event in waiting)
        if own >= limits.QUEUED or len(waiting) >= limits.QUEUE:
            return False, CROWDED, "error"  # 400; Gradio's own answer is 503, as if the server had failed
        answer = await push(body=body, request=request, username=username)
        for line in queue.event_queue_per_concurrency_id.values():
            line.queue.sort(key=rounds(line.queue).get)
        for session in queue.pending_event_ids_session.keys() - queue.pending_messages_per_session.keys():
            del queue.pending_event_ids_session[session]  # Gradio forgets the one, and not the other
        return answer

    queue.push = push_fairly


def rounds(events: list[Event]) -> dict[Event, int]:
    """-> for each event, how many of the same address wait before it."""
    before: Counter[str] = Counter()
    result = {}
    for event in events:
        address = address_of(event.request.scope)
        result[event] = before[address]
        before[address] += 1
    return result
