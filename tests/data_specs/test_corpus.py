"""Corpus readers on real lists and folders, and what they say about bad ones."""

import csv
import os
from importlib import resources

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_specs.config import CorpusConfig
from data_specs.corpus import read_corpus
from data_specs.errors import UserError
from data_specs.labels import label_table

SEGMENTS = """\
# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=4, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
Yabcdefghij, 0.000, 10.000, "/m/05tny_"
-0RWZT-miFs, 420.000, 430.000, "/m/03v3yw,/m/0k4j"
"""


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def read(kind, path, **options):
    return read_corpus(CorpusConfig(kind=kind, path=str(path), **options))


def touch(folder, *names):
    for name in names:
        write(folder / name, "")


class TestClipList:
    def test_labels_are_split_at_semicolons_only(self, tmp_path):
        path = write(tmp_path / "clips.csv", 'path,labels,split\na.wav,"Baby cry, infant cry; Rain ;",test\nb.wav,,\n')
        first, second = read("clip_list", path)
        assert first.path == str(tmp_path / "a.wav")
        assert first.labels == ("Baby cry, infant cry", "Rain")
        assert first.split == "test"
        assert (second.labels, second.split, second.start_s, second.end_s) == ((), "", 0.0, None)

    def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(self, tmp_path):
        path = write(tmp_path / "clips.csv", "path,labels\r\na.wav,Rain\r\n", encoding="utf-8-sig")
        assert read("clip_list", path)[0].labels == ("Rain",)

    def test_unicode_emoji_and_newlines_in_names_are_kept(self, tmp_path):
        names = ["grün/дождь.wav", "🌧️ rain.flac", "two\nlines.wav", 'with "quotes", and comma.wav']
        rows = "".join('"{}",Rain\n'.format(name.replace('"', '""')) for name in names)
        path = write(tmp_path / "clips.csv", "path,labels\n" + rows)
        assert [entry.path for entry in read("clip_list", path)] == [str(tmp_path / name) for name in names]

    def test_paths_start_from_the_audio_root_and_are_spelt_in_one_way(self, tmp_path):
        path = write(tmp_path / "lists" / "clips.csv", "path,labels\n./x/../a.wav,\n/abs/b.wav,\n")
        (tmp_path / "audio").mkdir()
        entries = read("clip_list", path, audio_root=str(tmp_path / "audio"))
        assert [entry.path for entry in entries] == [str(tmp_path / "audio" / "a.wav"), "/abs/b.wav"]

    def test_only_the_rows_of_the_split_are_taken(self, tmp_path):
        path = write(tmp_path / "clips.csv", "path,labels,split\na.wav,,train\nb.wav,,test\n")
        assert [entry.split for entry in read("clip_list", path, split="test")] == ["test"]

    @pytest.mark.parametrize("labels", [["Bark", "Baby cry, infant cry"], "Bark;Baby cry, infant cry"])
    def test_parquet_labels_are_lists_or_text(self, tmp_path, labels):
        rows = [{"path": "a.wav", "labels": labels, "split": 3, "more": 1.5}, {"path": "b.wav", "labels": None}]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "clips.parquet")
        first, second = read("clip_list", tmp_path / "clips.parquet")
        assert first.labels == ("Bark", "Baby cry, infant cry")
        assert (first.split, second.split, second.labels) == ("3", "", ())

    def test_the_shipped_style_of_real_lists_is_read(self, shared_data):
        entries = read("clip_list", shared_data / "esc10" / "clips.csv")
        assert len(entries) == 240
        assert all(os.path.isfile(entry.path) for entry in entries)
        assert all(label in label_table() for entry in entries for label in entry.labels)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "clips.csv is empty: its first line must name the columns path, labels"),
            ("a.wav,Bark\nb.wav,Rain\n", "has no column 'path': it needs path, labels and has a.wav, Bark"),
            ("path,label\na.wav,Bark\n", "has no column 'labels': it needs path, labels and has path, label"),
            ("path;labels\na.wav;Bark\n", "has no column 'path'"),
            ("path,labels\n", "is an empty corpus: it names no recording"),
            ("path,labels\n\n\n", "is an empty corpus: it names no recording"),
            ("path,labels\na.wav,Baby cry, infant cry\n", "row 2: 3 values for 2 columns; put labels and names"),
            ("path,labels\n,Bark\n", "row 2: no path"),
        ],
    )
    def test_a_list_that_cannot_be_used_is_told_in_one_line(self, tmp_path, text, message):
        with pytest.raises(UserError) as caught:
            read("clip_list", write(tmp_path / "clips.csv", text))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_list_in_another_encoding_is_told(self, tmp_path):
        path = write(tmp_path / "clips.csv", "path,labels\ngrün.wav,Rain\n", encoding="cp1252")
        with pytest.raises(UserError, match="is not UTF-8 text: save it as CSV UTF-8"):
            read("clip_list", path)

    def test_a_field_without_a_closing_quote_is_told(self, tmp_path):
        path = write(tmp_path / "clips.csv", 'path,labels\n"a.wav,Rain\n' + "b.wav,Rain\n" * 20_000)
        with pytest.raises(UserError, match="is not a CSV file: field larger than field limit"):
            read("clip_list", path)

    def test_captions_are_a_column_of_their_own(self, tmp_path):
        path = write(tmp_path / "clips.csv", 'path,labels,captions\na.wav,,"a dog barks, far off; rain"\nb.wav,Rain,\n')
        first, second = read("clip_list", path)
        assert (first.labels, first.captions) == ((), ("a dog barks, far off", "rain"))
        assert (second.labels, second.captions) == (("Rain",), ())

    @pytest.mark.parametrize("captions", [["a dog barks", None, " "], "a dog barks;"])
    def test_parquet_captions_are_lists_or_text(self, tmp_path, captions):
        rows = [{"path": "a.wav", "labels": ["Bark"], "captions": captions}]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "clips.parquet")
        assert read("clip_list", tmp_path / "clips.parquet")[0].captions == ("a dog barks",)

    def test_text_named_parquet_is_told(self, tmp_path):
        with pytest.raises(UserError, match="is not a Parquet file"):
            read("clip_list", write(tmp_path / "clips.parquet", "path,labels\na.wav,Bark\n"))

    def test_parquet_columns_of_a_wrong_type_are_told(self, tmp_path):
        pq.write_table(pa.table({"path": ["a.wav"], "labels": [7]}), tmp_path / "clips.parquet")
        with pytest.raises(UserError, match="column 'labels' must hold text, not int64"):
            read("clip_list", tmp_path / "clips.parquet")
        table = pa.table({"path": ["a.wav"], "labels": ["Bark"], "captions": [7]})
        pq.write_table(table, tmp_path / "clips.parquet")
        with pytest.raises(UserError, match="column 'captions' must hold text, not int64"):
            read("clip_list", tmp_path / "clips.parquet")

    def test_an_unknown_split_names_the_known_ones(self, tmp_path):
        path = write(tmp_path / "clips.csv", "path,labels,split\na.wav,,train\nb.wav,,test\n")
        with pytest.raises(UserError, match="nothing in split 'dev': its splits are test, train"):
            read("clip_list", path, split="dev")

    def test_a_missing_list_or_audio_root_is_told(self, tmp_path):
        with pytest.raises(UserError, match=r"no file .*clips.csv"):
            read("clip_list", tmp_path / "clips.csv")
        with pytest.raises(UserError, match=r"corpus.path is empty: give the path of the clip list"):
            read("clip_list", "")
        path = write(tmp_path / "clips.csv", "path,labels\na.wav,\n")
        with pytest.raises(UserError, match=r"no folder .*nowhere: corpus.audio_root"):
            read("clip_list", path, audio_root=str(tmp_path / "nowhere"))


class TestFolder:
    def test_recordings_are_found_at_any_depth_in_sorted_order(self, tmp_path):
        touch(
            tmp_path,
            "b.WAV",
            "a/2.flac",
            "a/1.ogg",
            "a/deep/x.mp3",
            "film.m4a",
            "notes.txt",
            ".hidden.wav",
            ".git/a.wav",
        )
        entries = read("folder", tmp_path)
        names = [os.path.relpath(entry.path, tmp_path) for entry in entries]
        assert names == ["b.WAV", "film.m4a", "a/1.ogg", "a/2.flac", "a/deep/x.mp3"]
        assert all(entry.labels == () for entry in entries)

    def test_links_to_folders_are_followed_and_loops_end(self, tmp_path):
        touch(tmp_path, "corpus/a.wav", "elsewhere/b.wav")
        (tmp_path / "corpus" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "corpus" / "loop").symlink_to(tmp_path / "corpus")
        assert [os.path.basename(entry.path) for entry in read("folder", tmp_path / "corpus")] == ["a.wav", "b.wav"]

    def test_a_folder_that_is_missing_empty_or_a_file_is_told(self, tmp_path):
        with pytest.raises(UserError, match=r"no folder .*nowhere: corpus.path must be a folder of recordings"):
            read("folder", tmp_path / "nowhere")
        with pytest.raises(UserError, match="is an empty corpus"):
            read("folder", tmp_path)
        with pytest.raises(UserError, match="no folder"):
            read("folder", write(tmp_path / "a.wav", ""))
        with pytest.raises(UserError, match="nothing in split 'train': it has no splits"):
            read("folder", tmp_path, split="train")

    def test_a_name_that_no_manifest_can_hold_is_told(self, tmp_path):
        try:
            open(os.fsencode(tmp_path) + b"/\xff.wav", "wb").close()
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        with pytest.raises(UserError, match="is not UTF-8: rename it"):
            read("folder", tmp_path)


class TestAudioSet:
    def test_segments_are_matched_with_files_in_all_their_namings(self, tmp_path):
        path = write(tmp_path / "balanced_train_segments.csv", SEGMENTS)
        touch(tmp_path / "audio", "Y--PJHxphWEs.wav", "Yabcdefghij.flac", "part/-0RWZT-miFs_420.000.ogg")
        first, second, third = read("audioset", path, audio_root=str(tmp_path / "audio"))
        assert first.path == str(tmp_path / "audio" / "Y--PJHxphWEs.wav")
        assert first.labels == ("/m/09x0r", "/t/dd00088")
        assert (first.start_s, first.end_s, first.split) == (30.0, 40.0, "balanced_train")
        assert second.path == str(tmp_path / "audio" / "Yabcdefghij.flac")
        assert third.path == str(tmp_path / "audio" / "part" / "-0RWZT-miFs_420.000.ogg")
        assert (third.start_s, third.end_s) == (0.0, 10.0)

    def test_of_several_files_the_one_with_the_segments_start_is_taken(self, tmp_path):
        path = write(tmp_path / "eval_segments.csv", '--PJHxphWEs, 30.000, 40.000, "/m/09x0r"\n')
        touch(tmp_path, "--PJHxphWEs_100.000.wav", "--PJHxphWEs.wav", "--PJHxphWEs_30000_40000.wav")
        assert read("audioset", path)[0].path == str(tmp_path / "--PJHxphWEs_30000_40000.wav")
        (tmp_path / "--PJHxphWEs_30000_40000.wav").unlink()
        assert read("audioset", path)[0].path == str(tmp_path / "--PJHxphWEs.wav")

    def test_a_segment_whose_file_is_gone_is_an_entry_like_any_other(self, tmp_path):
        path = write(tmp_path / "eval_segments.csv", SEGMENTS)
        entries = read("audioset", path)
        assert entries[0].path == str(tmp_path / "--PJHxphWEs.wav")
        assert len(entries) == 3

    @pytest.mark.parametrize("line", ["path,labels", "abc, ten, twenty, x", "--PJHxphWEs, 40.000, 30.000, /m/09x0r"])
    def test_a_line_of_another_format_is_told_with_its_number(self, tmp_path, line):
        with pytest.raises(UserError, match="line 2: expected YTID, start_seconds, end_seconds"):
            read("audioset", write(tmp_path / "x.csv", f"# comment\n{line}\n"))


class TestEsc50:
    def test_categories_become_audioset_names_and_folds_splits(self, tmp_path):
        table = "filename,fold,target,category,esc10,src_file,take\n"
        rows = "1-1-A-0.wav,1,0,dog,True,1,A\n2-2-B-20.wav,2,20,crying_baby,True,2,B\n"
        rows += "3-3-A-34.wav,3,34,can_opening,False,3,A\n"
        write(tmp_path / "meta" / "esc50.csv", table + rows)
        (tmp_path / "audio").mkdir()
        entries = read("esc50", tmp_path)
        assert [entry.labels for entry in entries] == [("Bark",), ("Baby cry, infant cry",), ("can_opening",)]
        assert [entry.split for entry in entries] == ["fold1", "fold2", "fold3"]
        assert entries[0].path == str(tmp_path / "audio" / "1-1-A-0.wav")

    def test_every_mapped_category_is_an_audioset_class(self):

        table = resources.files("data_specs").joinpath("assets", "esc50_labels.csv").read_text("utf-8")
        rows = list(csv.DictReader(table.splitlines()))
        assert len({row["category"] for row in rows}) == len(rows) == 49
        assert all(row["display_name"] in label_table() for row in rows)

    def test_a_folder_without_the_table_is_told(self, tmp_path):
        with pytest.raises(UserError, match=r"no file .*meta/esc50.csv"):
            read("esc50", tmp_path)


def test_the_builtin_corpus_is_not_read_from_disk():
    with pytest.raises(ValueError, match="rendered to a clip list"):
        read_corpus(CorpusConfig(kind="builtin"))
