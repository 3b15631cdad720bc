"""Gradio's queue, in which nobody pushes in: it serves in order of arrival, however many come from one visitor."""

from collections import Counter
from typing import Any

import gradio as gr
from gradio.queueing import Event

from serving.gate import CROWDED, address_of

PLACES = 50  # of one address, which may be a school's


def take_turns(page: gr.Blocks) -> None:
    """After `page.queue`: addresses are served in turn, each its own in order of arrival, and may fill no more places.

    Gradio has no setting for this; `push` and the lists of events are its own affair, hence the narrow range of
    versions in requirements.txt.
    """
    queue = page._queue
    push = queue.push

    async def push_fairly(body: Any, request: Any, username: str | None) -> tuple[bool, Any, str]:
        lines = [line.queue for line in queue.event_queue_per_concurrency_id.values()]
        address = address_of(request.scope)
        mine = sum(address_of(event.request.scope) == address for line in lines for event in line)
        if mine >= PLACES or len(queue) >= queue.max_size:
            return False, CROWDED, "error"  # 400; a full queue is 503, as if the server were at fault
        answer = await push(body=body, request=request, username=username)
        for line in queue.event_queue_per_concurrency_id.values():
            line.queue.sort(key=rounds(line.queue).get)
        for session in queue.pending_event_ids_session.keys() - queue.pending_messages_per_session.keys():
            del queue.pending_event_ids_session[session]  # Gradio forgets the one, and not the other
        return answer

    queue.push = push_fairly


def rounds(line: list[Event]) -> dict[Event, int]:
    """How many of the same address stand before each."""
    passed, before = Counter(), {}
    for event in line:
        address = address_of(event.request.scope)
        before[event] = passed[address]
        passed[address] += 1
    return before
