"""Reads with preconditions: what their caller has already is not sent again. Source: RFC 9110, 13.2.2."""

from functions.replies import Reply
from shared.resources.tags import Preconditions

NO_TAG = ""
"""No header can name it; it stands for what is there and has no ETag."""


def read_if(preconditions: Preconditions, reply: Reply) -> Reply:
    """The answer to a read: itself, 304 when its caller has it, or PreconditionFailed raised when it is another."""
    if reply.status != 200:
        return reply
    tag = reply.headers.get("ETag", NO_TAG)
    if tag == NO_TAG:
        preconditions.check_untagged()
    elif refused := preconditions.mismatch(tag):
        raise refused
    if preconditions.known(tag):
        return Reply(304, headers={"ETag": tag} if tag else {})
    return reply
