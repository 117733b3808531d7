"""The JSON documents by which the hub describes a model.

Their keys are those that huggingface_hub's `hf_api.py` reads into `ModelInfo`, `RepoFile` and
`RepoFolder`.
"""

from typing import Any

from local_platform.hub.repository import ModelFile, ModelSnapshot, content_id, entry_not_found

Document = dict[str, Any]


def model_document(snapshot: ModelSnapshot, *, blobs: bool) -> Document:
    """Describe a model.

    Args:
        snapshot: the model.
        blobs: whether to give size and digests of its files.
    """
    namespace, _, _ = snapshot.repo_id.rpartition("/")
    return {
        "id": snapshot.repo_id,
        "modelId": snapshot.repo_id,
        "author": namespace or None,
        "sha": snapshot.commit,
        # huggingface_hub before 0.24 demands these four.
        "private": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [_sibling(file, blobs=blobs) for file in snapshot.files.values()],
    }


def tree_document(snapshot: ModelSnapshot, path: str, *, recursive: bool) -> list[Document]:
    """List a folder of a model, in one page.

    Args:
        snapshot: the model.
        path: the folder's path in it, empty for the model itself.
        recursive: whether to list what lies in subfolders too.

    Returns:
        Files and folders by path. A folder's `oid` is the `content_id` of the files below it,
        with their paths relative to it.

    Raises:
        RefusedRequestError: the model has no such folder.
    """
    prefix = f"{path.rstrip('/')}/" if path else ""
    below = [file for file in snapshot.files.values() if file.path.startswith(prefix)]
    if not below:
        raise entry_not_found(
            f"{snapshot.repo_id} has no folder '{path}' at commit {snapshot.commit}",
            snapshot.commit,
        )
    entries = {}
    for file in below:
        *folders, _ = file.path.removeprefix(prefix).split("/")
        for depth in range(1, len(folders) + 1):
            folder = prefix + "/".join(folders[:depth])
            if folder not in entries and (recursive or depth == 1):
                entries[folder] = _folder_entry(folder, below)
        if recursive or not folders:
            entries[file.path] = _file_entry(file)
    return list(entries.values())


def _sibling(file: ModelFile, *, blobs: bool) -> Document:
    sibling: Document = {"rfilename": file.path}
    if blobs:
        sibling |= {"blobId": file.digests.blob_id, "size": file.size}
        if file.digests.pointer_size is not None:
            sibling["lfs"] = {
                "sha256": file.digests.sha256,
                "size": file.size,
                "pointerSize": file.digests.pointer_size,
            }
    return sibling


def _file_entry(file: ModelFile) -> Document:
    entry: Document = {
        "type": "file",
        "path": file.path,
        "size": file.size,
        "oid": file.digests.blob_id,
    }
    if file.digests.pointer_size is not None:
        entry["lfs"] = {
            "oid": file.digests.sha256,
            "size": file.size,
            "pointerSize": file.digests.pointer_size,
        }
    return entry


def _folder_entry(folder: str, files: list[ModelFile]) -> Document:
    prefix = f"{folder}/"
    oid = content_id(
        (file.path.removeprefix(prefix), file.size, file.digests.sha256)
        for file in files
        if file.path.startswith(prefix)
    )
    return {"type": "directory", "path": folder, "size": 0, "oid": oid}
