"""A hub's final answers, in words for the user."""

from dataclasses import dataclass

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.transport import OTHER_ENDPOINT, StatusError


@dataclass(frozen=True, kw_only=True, slots=True)
class HubQuestion:
    """What was asked of which hub: a file's content, or without a name the metadata."""

    endpoint: str
    with_token: bool
    repository: str
    revision: str
    name: str | None


def refusal(error: StatusError, asked: HubQuestion) -> FtServingError:
    """What was wrong and what to do, by the status and the code that the hub adds to it.

    The codes are those that huggingface_hub's `hf_raise_for_status` tells apart.
    """
    code = error.headers.get("X-Error-Code", "")
    said = f"{error.status} {error.headers.get('X-Error-Message', '')}".rstrip()
    hub, subject = asked.endpoint, asked.name or "its metadata"
    token = "HF_TOKEN" if asked.with_token else "HF_TOKEN (none is set)"
    if error.proxy and error.status == 407:
        problem = error.proxy.refusal(error.status)
    elif code == "GatedRepo":
        problem = (
            "gated, and access was not granted; accept the terms on "
            f"{hub}/{asked.repository}, then set {token} to a token of that account"
        )
    elif code == "RevisionNotFound":
        problem = (
            f"no revision {asked.revision!r} at {hub}; give a branch, a tag or a commit of this "
            "model"
        )
    elif code == "EntryNotFound" or (asked.name and error.status == 404 and not code):
        problem = (
            f"{hub} has no file {asked.name!r} in revision {asked.revision}, though its metadata "
            "list it; is a mirror incomplete?"
        )
    # Without a token the hub answers 401 for what does not exist, too.
    elif code == "RepoNotFound" or error.status == 404:
        problem = (
            f"no such model at {hub}; check the name, and if the model is private, which looks the "
            f"same, set {token} to a token that may read it"
        )
    elif error.status == 401:
        done = "rejected the token" if asked.with_token else "wants a token"
        problem = f"{hub} {done} ({said}); set {token} to a valid token that may read this model"
    elif error.status == 403:
        problem = (
            f"{hub} refused {subject} ({said}); set {token} to a token that may read it, or ask "
            "its owner"
        )
    else:
        problem = f"{hub} answered {said} for {subject}; {OTHER_ENDPOINT}"
    # What has the hub's own code does not come from a proxy.
    if error.proxy and error.status != 407 and not code:
        problem = f"{problem}. {error.proxy.note}"
    return FtServingError(f"{asked.repository}: {problem}")
