"""What the API server of a real cluster said of a deployment, recorded as plain documents."""

import dataclasses
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ft_serving.cluster.diagnosis import Kind, NamespaceSnapshot, Verdict, diagnose

FOLDER = Path(__file__).parent / "recorded"


def names() -> list[str]:
    """The names of all recordings."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded(name: str) -> tuple[NamespaceSnapshot, datetime]:
    """A recorded snapshot and when it was taken."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    snapshot = NamespaceSnapshot(
        namespace=document["namespace"],
        name=document["name"],
        begun=datetime.fromisoformat(document["begun"]),
        objects={Kind(kind): items for kind, items in document["objects"].items()},
        logs={(pod, container): log for pod, container, log in document["logs"]},
    )
    return snapshot, datetime.fromisoformat(document["now"])


def verdict(name: str, *, later_s: float = 0.0) -> Verdict:
    """What a recording is diagnosed as, at its own time or later."""
    snapshot, now = recorded(name)
    return diagnose(snapshot, now + timedelta(seconds=later_s))


def changed(snapshot: NamespaceSnapshot, **kinds: list[Any]) -> NamespaceSnapshot:
    """A snapshot with other objects of some kinds, named as members of `Kind` in lower case."""
    objects = {**snapshot.objects, **{Kind[kind.upper()]: items for kind, items in kinds.items()}}
    return dataclasses.replace(snapshot, objects=objects)
