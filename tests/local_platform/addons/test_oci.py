"""Images written without an engine."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

from local_platform.addons.oci import RunConfig, digest_of, image_of, pack_files


def _program(folder: Path, content: bytes) -> Path:
    program = folder / "program"
    program.write_bytes(content)
    return program


def test_a_layer_holds_the_files_with_their_folders_and_modes(tmp_path: Path) -> None:
    program = _program(tmp_path, b"\x7fELF" + bytes(1000))
    bundle = tmp_path / "ca.crt"
    bundle.write_text("CERTIFICATES")
    layer = pack_files(
        tmp_path / "layer", {"program": program, "etc/ssl/ca.crt": bundle}, ["program"]
    )
    with tarfile.open(layer.path, "r:gz") as tar:
        found = {entry.name: (oct(entry.mode), entry.uid, entry.mtime) for entry in tar}
        content = tar.extractfile("etc/ssl/ca.crt")
        assert content is not None
        assert content.read() == b"CERTIFICATES"
    assert found == {
        "etc": ("0o755", 0, 0),
        "etc/ssl": ("0o755", 0, 0),
        "etc/ssl/ca.crt": ("0o644", 0, 0),
        "program": ("0o755", 0, 0),
    }


def test_a_layer_knows_the_digests_inside_and_outside_of_its_packing(tmp_path: Path) -> None:
    layer = pack_files(tmp_path / "layer", {"program": _program(tmp_path, b"x" * 513)}, [])
    packed = layer.path.read_bytes()
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"
    assert layer.size == len(packed)


def test_equal_content_gives_equal_bytes_whatever_the_files_times(tmp_path: Path) -> None:
    program = _program(tmp_path, b"content")
    first = pack_files(tmp_path / "first", {"program": program}, ["program"])
    os.utime(program, (1, 1))
    second = pack_files(tmp_path / "second", {"program": program}, ["program"])
    assert first.digest == second.digest, "another digest would replace pods for nothing"


def test_a_tar_ends_as_the_format_demands(tmp_path: Path) -> None:
    layer = pack_files(tmp_path / "layer", {"empty": _program(tmp_path, b"")}, [])
    stream = gzip.decompress(layer.path.read_bytes())
    assert len(stream) == 512 + 1024, "a header, and two blocks of zeros as the end"
    assert tarfile.open(fileobj=io.BytesIO(stream)).getnames() == ["empty"]  # noqa: SIM115


def test_the_documents_name_the_layer_and_the_user(tmp_path: Path) -> None:
    layer = pack_files(tmp_path / "layer", {"program": _program(tmp_path, b"x")}, ["program"])
    image = image_of(
        layer,
        RunConfig(user="65532:65532", entrypoint=("/program",), environment={"B": "2", "A": "1"}),
    )
    config = json.loads(image.config)
    assert config["config"] == {
        "User": "65532:65532",
        "Entrypoint": ["/program"],
        "Cmd": [],
        "Env": ["A=1", "B=2"],
    }
    assert config["rootfs"] == {"type": "layers", "diff_ids": [layer.diff_id]}
    assert json.loads(image.manifest) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(image.config),
            "size": len(image.config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": layer.digest,
                "size": layer.size,
            }
        ],
    }
