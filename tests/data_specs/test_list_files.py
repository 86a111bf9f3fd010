"""Rows of users' lists: what CSV and Parquet have in common."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_specs.errors import UserError
from data_specs.list_files import csv_lines, list_rows

text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), min_size=1, max_size=20)
values = st.lists(st.tuples(text.filter(lambda value: not value[0].isspace()), text), min_size=1, max_size=10)


@given(values)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_and_parquet_give_the_rows_that_were_written(tmp_path, rows):
    rows = [(path, "Rain;" + labels.strip()) for path, labels in rows]
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("path", "labels"), *rows])
    pq.write_table(pa.table({"labels": [r[1] for r in rows], "path": [r[0] for r in rows]}), tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        read = [row for _, row in list_rows(tmp_path / name, required=("path", "labels"))]
        assert [(row["path"], row["labels"]) for row in read] == rows


def test_only_the_named_columns_are_given(tmp_path):
    (tmp_path / "a.csv").write_text("x, path ,y,split\n1,a.wav,2,train\n")
    assert list(list_rows(tmp_path / "a.csv", required=("path",), optional=("split", "fold"))) == [
        ("row 2", {"path": "a.wav", "split": "train"})
    ]


def test_quotes_may_follow_a_space(tmp_path):
    (tmp_path / "a.csv").write_text('# comment\nid, 0.0, 10.0, "/m/1,/m/2"\n')
    assert list(csv_lines(tmp_path / "a.csv")) == [["# comment"], ["id", "0.0", "10.0", "/m/1,/m/2"]]


def test_a_missing_list_is_told_before_the_first_row_is_asked_for(tmp_path):
    with pytest.raises(UserError, match="no file"):
        list_rows(tmp_path / "a.csv", required=("path",))


def test_a_folder_given_as_a_list_is_told(tmp_path):
    with pytest.raises(UserError, match="no file"):
        list_rows(tmp_path, required=("path",))
    with pytest.raises(UserError, match=r"cannot read .*: is a directory"):
        list(csv_lines(tmp_path))


def test_truncated_parquet_is_told(tmp_path):
    pq.write_table(pa.table({"path": ["a.wav"] * 1000}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="is not a Parquet file") as caught:
        list(list_rows(tmp_path / "a.parquet", required=("path",)))
    assert "\n" not in str(caught.value)
