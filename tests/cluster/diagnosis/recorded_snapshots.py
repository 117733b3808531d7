"""Snapshots of real deployments, recorded as plain documents."""

import copy
import dataclasses
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ft_serving.cluster.diagnosis import Kind, NamespaceSnapshot, State, Verdict, diagnose
from ft_serving.cluster.diagnosis.snapshot import COMPONENTS

FOLDER = Path(__file__).parent / "recorded"


def names() -> list[str]:
    """The names of all recordings."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded(name: str) -> tuple[NamespaceSnapshot, datetime]:
    """A recorded snapshot, whose documents may be changed, and when it was taken."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    _add_templates(document["objects"])
    snapshot = NamespaceSnapshot(
        namespace=document["namespace"],
        name=document["name"],
        begun=datetime.fromisoformat(document["begun"]),
        objects={Kind(kind): items for kind, items in document["objects"].items()},
        logs={(pod, container): log for pod, container, log in document["logs"]},
    )
    return snapshot, datetime.fromisoformat(document["now"])


def _add_templates(objects: dict[str, Any]) -> None:
    """Add what recordings leave out: the containers that KServe wrote into what it made."""
    wanted = {
        f"{service['metadata']['name']}-{part}": service["spec"][part]["containers"]
        for service in objects[Kind.INFERENCE_SERVICES]
        for part in COMPONENTS
        if "containers" in service["spec"].get(part, {})
    }
    for made in (*objects[Kind.KNATIVE_SERVICES], *objects[Kind.DEPLOYMENTS]):
        if containers := wanted.get(made["metadata"]["name"]):
            template = {"spec": {"containers": copy.deepcopy(containers)}}
            made.setdefault("spec", {})["template"] = template


def verdict(name: str, *, later_s: float = 0.0) -> Verdict:
    """The verdict about a recording, at its own time or later."""
    snapshot, now = recorded(name)
    return diagnose(snapshot, now + timedelta(seconds=later_s))


def changed(snapshot: NamespaceSnapshot, **kinds: list[Any]) -> NamespaceSnapshot:
    """A snapshot with other objects of some kinds, named as members of `Kind` in lower case."""
    objects = {**snapshot.objects, **{Kind[kind.upper()]: items for kind, items in kinds.items()}}
    return dataclasses.replace(snapshot, objects=objects)


def final_after(snapshot: NamespaceSnapshot, since: datetime) -> float:
    """The seconds after which a snapshot's deployment has failed, within a second."""
    low, high = 0, 2000
    while low < high:
        middle = (low + high) // 2
        failed = diagnose(snapshot, since + timedelta(seconds=middle)).state is State.FAILED
        low, high = (low, middle) if failed else (middle + 1, high)
    return low
