"""Paths and URIs: how they are joined, and that corpora in a bucket read as on a disk."""

import os
from pathlib import Path

import pytest
from pyarrow import fs

from data_specs.config import CorpusConfig, load_config
from data_specs.corpus import read_corpus
from data_specs.errors import UserError
from data_specs.filesystems import Uri, files_below, join, parent, resolve


@pytest.mark.parametrize(
    ("root", "name", "joined"),
    [
        ("audio", "a.wav", "audio/a.wav"),
        ("audio", "./x/../a.wav", "audio/a.wav"),
        ("audio", "/b/a.wav", "/b/a.wav"),
        ("audio", "s3://b/a.wav", "s3://b/a.wav"),
        ("s3://b", "a.wav", "s3://b/a.wav"),
        ("s3://b/audio/", "./x/../a#1 %20?.wav", "s3://b/audio/a#1 %20?.wav"),
        ("s3://b/audio?region=eu-north-1", "a.wav", "s3://b/audio/a.wav?region=eu-north-1"),
        ("s3://b/audio", "/mnt/a.wav", "/mnt/a.wav"),
    ],
)
def test_a_name_is_joined_to_a_folder(root, name, joined):
    assert join(root, name) == joined


def test_the_parts_of_a_uri_give_the_uri_again():
    for text in ("s3://b/k/a.wav?region=x", "s3://b", "file:///tmp/x", "s3://b/what?.wav"):
        assert str(Uri.of(text)) == text
    assert Uri.of("s3://b/what?.wav").key == "/what?.wav"
    assert parent("s3://b/lists/clips.csv") == "s3://b/lists"
    assert parent("clips.csv") == "."


def put(folder: str, files: dict[str, bytes]) -> None:
    filesystem, path = resolve(folder)
    for name, data in files.items():
        if filesystem.type_name == "local":
            filesystem.create_dir(os.path.dirname(f"{path}/{name}"))
        with filesystem.open_output_stream(f"{path}/{name}") as stream:
            stream.write(data)


CORPORA = {
    "clip_list": (
        "lists/clips.csv",
        {"lists/clips.csv": "path,labels,split\na b.wav,Rain;Bark,x\n../c.wav,,y\n".encode("utf-8-sig")},
    ),
    "folder": (
        "audio",
        {"audio/b/a.wav": b"", "audio/a#1.flac": b"", "audio/.hidden.wav": b"", "audio/notes.txt": b""},
    ),
    "audioset": (
        "eval_segments.csv",
        {
            "eval_segments.csv": b'# a\n# b\n# c\n--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"\n',
            "wav/Y--4gqARaEJE.flac": b"",
        },
    ),
    "esc50": (
        "",
        {"meta/esc50.csv": b"filename,fold,category\n1-100032-A-0.wav,1,dog\n", "audio/1-100032-A-0.wav": b""},
    ),
}


@pytest.mark.parametrize("kind", CORPORA)
def test_a_corpus_in_a_bucket_reads_as_on_a_disk(kind, s3, tmp_path):
    name, files = CORPORA[kind]
    entries = {}
    for root in (str(tmp_path), s3):
        put(root, files)
        found = read_corpus(CorpusConfig(kind=kind, path=join(root, name) if name else root))
        entries[root] = [entry.model_dump() | {"path": entry.path.removeprefix(root)} for entry in found]
    assert entries[s3] == entries[str(tmp_path)]
    assert entries[s3]


def test_a_parquet_list_in_a_bucket_is_read(s3):
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"path": ["a.wav"], "labels": [["Rain", "Bark"]]}), sink)
    put(s3, {"clips.parquet": sink.getvalue().to_pybytes()})
    (entry,) = read_corpus(CorpusConfig(kind="clip_list", path=f"{s3}/clips.parquet"))
    assert (entry.path, entry.labels) == (f"{s3}/a.wav", ("Rain", "Bark"))


def test_a_list_that_is_not_in_the_bucket_is_the_users_error(s3):
    with pytest.raises(UserError, match=f"no file {s3}/clips.csv"):
        read_corpus(CorpusConfig(kind="clip_list", path=f"{s3}/clips.csv"))


def test_a_configuration_in_a_bucket_names_what_is_beside_it(s3):
    put(s3, {"corpus.yaml": b"corpus: {kind: clip_list, path: lists/clips.csv}"})
    assert load_config(f"{s3}/corpus.yaml").corpus.path == f"{s3}/lists/clips.csv"
    with pytest.raises(UserError, match=r"no file s3://.*/nothing.yaml"):
        load_config(f"{s3}/nothing.yaml")


def test_files_below_a_folder_are_listed_without_hidden_ones(s3):
    put(s3, {"x/b.wav": b"", "x/a/c.wav": b"", "x/.a/d.wav": b"", "y.wav": b""})
    assert list(files_below(f"{s3}/x")) == ["a/c.wav", "b.wav"]


def test_a_path_is_a_file_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    filesystem, path = resolve("a.wav")
    assert isinstance(filesystem, fs.LocalFileSystem)
    assert Path(path) == tmp_path / "a.wav"
