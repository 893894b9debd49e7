"""Tables in text files: how they are written is found, numbers come to the last bit, and nothing is guessed at."""

import bz2
import gzip
import lzma
import math
import random
import struct
from pathlib import Path

import numpy as np
import pytest

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources import _text_rows
from prosper_ng.data.sources._text_file import TextFile
from prosper_ng.data.sources._text_rows import TextRows
from prosper_ng.data.sources.csv import Csv
from prosper_ng.errors import UserError

NAN = math.nan

TABLES = {
    "comma": ("1.5,2\n3,4\n", {}, None, [[1.5, 2], [3, 4]]),
    "header": ("a,b\n1.5,2\n3,4", {}, ("a", "b"), [[1.5, 2], [3, 4]]),
    "byte order mark, CRLF": ("\ufeffa;b\r\n1;2\r\n3;4\r\n", {}, ("a", "b"), [[1, 2], [3, 4]]),
    "lines of old Macs": ("a,b\r1,2\r3,4", {}, ("a", "b"), [[1, 2], [3, 4]]),
    "tabs": ("a\tb c\n1\t2\n", {}, ("a", "b c"), [[1, 2]]),
    "white space": ("  1.0  2.0\n -3    4\n", {}, None, [[1, 2], [-3, 4]]),
    "decimal comma": ("a;b\n1,5;0,125\n2;1e3\n", {}, ("a", "b"), [[1.5, 0.125], [2, 1000]]),
    "decimal comma and white space": ("1,5 2,25\n3 4\n", {}, None, [[1.5, 2.25], [3, 4]]),
    "quoted decimal comma": ('"1,5","2,5"\n"3,25","4"\n', {}, None, [[1.5, 2.5], [3.25, 4]]),
    "thousands": ('"1,234.5",2\n', {"thousands": ","}, None, [[1234.5, 2]]),
    "thousands in Europe": ("1.234,5;2\n", {"thousands": ".", "decimal": ","}, None, [[1234.5, 2]]),
    "thousands in Switzerland": ("1'234.5;2\n", {"thousands": "'"}, None, [[1234.5, 2]]),
    "comments": ("# made by\na b\n# 5\" disk\n\n  \n1 2 # first\n3 4", {}, ("a", "b"), [[1, 2], [3, 4]]),
    "names like comments": ("Sample #1,Sample #2\n1,2\n", {}, ("Sample #1", "Sample #2"), [[1, 2]]),
    "gaps": ("a,b\n1,\nNA,2\nnull,NaN\n", {"missing": True}, ("a", "b"), [[1, NAN], [NAN, 2], [NAN, NAN]]),
    "gaps in Europe": ("a;b\n1,5;NA\n;2,5\n", {"missing": True}, ("a", "b"), [[1.5, NAN], [NAN, 2.5]]),
    "R": ('"a" "b"\n"Mazda RX4" 1.5 2\n"Datsun" 3 4\n', {}, ("a", "b"), [[1.5, 2], [3, 4]]),
    "R's CSV": ('"","a","b"\n"1",1.5,2\n"2",3,4\n', {}, ("a", "b"), [[1.5, 2], [3, 4]]),
    "pandas": (",0,1\n0,1.5,2\n1,3,4\n", {}, ("0", "1"), [[1.5, 2], [3, 4]]),
    "names of rows": ("Ulm,1.5,2\nBonn,3,4\n", {}, None, [[1.5, 2], [3, 4]]),
    "names on two lines": ('id,x\n"a\nb",1.5\n"c",2\n', {}, ("x",), [[1.5], [2]]),
    "inches": ('size,x\n5" pipe,1.5\n6" pipe,2\n', {}, ("x",), [[1.5], [2]]),
    "delimiter at the end": ("1,2,\n3,4,\n", {}, None, [[1, 2], [3, 4]]),
    "delimiter at the end of rows": ("a,b\n1,2,\n3,4,\n", {}, ("a", "b"), [[1, 2], [3, 4]]),
    "Excel's hint": ("sep=;\na;b\n1,5;2\n", {}, ("a", "b"), [[1.5, 2]]),
    "lines before": ("Device 7\n12:30, ok\na,b\n1,2.5\n", {"skip": 2}, ("a", "b"), [[1, 2.5]]),
    "Fortran": ("1.0D+00 2.5D-3\n3 4\n", {}, None, [[1, 0.0025], [3, 4]]),
    "true and false": ("a,b\nTRUE,1\nFalse,2\n", {}, ("a", "b"), [[1, 1], [0, 2]]),
    "minus sign of print": ("a,b\n\u22121.5,2\n", {}, ("a", "b"), [[-1.5, 2]]),
    "names like formats": ("MATLAB,PAR1\n1,2\n", {}, ("MATLAB", "PAR1"), [[1, 2]]),
    "names like gaps": ("Na,K\n1,2\n", {}, ("Na", "K"), [[1, 2]]),
    "a gap in the first row": ("Ulm,NA,1.5\nBonn,2,3\n", {"missing": True}, None, [[NAN, 1.5], [2, 3]]),
    "years, told": ("city,1990,1991\nUlm,1.5,2\n", {"header": True}, ("1990", "1991"), [[1.5, 2]]),
    "a count as data": ("0,1,2\n3,4,5\n", {}, None, [[0, 1, 2], [3, 4, 5]]),
    "one column": ("x\n1.5\n2\n", {}, ("x",), [[1.5], [2]]),
    "columns": ("a,b,c\n1,red,2\n3,blue,4\n", {"columns": ("c", 0)}, ("c", "a"), [[2, 1], [4, 3]]),
    "all columns in another order": ("a,b\n1,2\n3,4\n", {"columns": ("b", "a")}, ("b", "a"), [[2, 1], [4, 3]]),
    "names of rows count": ("n,a,b\nx,1,2\ny,3,4\n", {"columns": "1:"}, ("a", "b"), [[1, 2], [3, 4]]),
    "no header, told": ("1,2,3\n9,8,7\n", {"header": False}, None, [[1, 2, 3], [9, 8, 7]]),
    "delimiter, told": ("1 2,3\n4 5,6\n", {"delimiter": "space", "decimal": ","}, None, [[1, 2.3], [4, 5.6]]),
    "row names, told": ("id,a,b\n1,2,3\n2,4,5\n", {"row_names": True}, ("a", "b"), [[2, 3], [4, 5]]),
    "transposed": ("g\ts1\ts2\nA\t1\t2\nB\t3\t4\n", {"transpose": True}, ("A", "B"), [[1, 3], [2, 4]]),
    "transposed, columns": ("g,s1,s2\nA,1,2\nB,3,4\n", {"transpose": True, "columns": "B"}, ("B",), [[3], [4]]),
}  # fmt: skip

REFUSED = {
    "not known whether names": ("0,1,2\n0.5,1,2\n", {}, "first line .*0, 1, 2.* cannot be told; set `header: true` or"),
    "text among numbers": ("1.5*,2\n3,4\n", {}, r"first line \(1.5\*, 2\) .* cannot be told; set `header: true` or"),
    "years": ("city,1990,1991\nUlm,1.5,2\n", {}, "cannot be told; set `header: true`"),
    "not known whether thousands": ("a;b\n1,500;2\n", {}, "whether 1,500 is 1500 or 1.500 cannot be told; set"),
    "thousands": ('a,b\n"1,234.5",2\n', {}, r"line 2.*column 0 'a' is '1,234.5', which is no number where the decimal"),
    "decimal comma later": ("1;2\n" * 200 + "1,5;2\n", {}, r"row 200 .*line 201.*column 0 is '1,5', which is no"),
    "decimal point later": ("1,5;2\n" * 200 + "1.5;2\n", {}, r"row 200 .*line 201.*column 0 is '1.5'"),
    "empty": ("a,b\n1,\n", {}, r"row 0 \(counted from 0; line 2 of the file\), column 1 'b' is empty; set `missing"),
    "NA": ("a,b\n1,2\nNA,2\n", {}, "row 1 .*column 0 'a' is 'NA'; set `missing: true`"),
    "nan": ("a,b\n1,2\nnan,2\n", {}, "row 1 .*column 0 'a' is 'nan'; set `missing: true`"),
    "inf": ("a,b\n1,-inf\n", {"missing": True}, "column 1 'b' is '-inf'; every value must be a finite number"),
    "too large": ("a,b\n1,1e400\n", {}, "is '1e400'; every value must be a finite number"),
    "long row": ("a,b\n1,2\n3,4,5\n6,7", {}, r"row 1 \(counted from 0; line 3 of the file\) has 3 fields, and the"),
    "short row": ("1.5 2\n\n3\n4 5\n", {}, r"row 1 .*line 3 of the file\) has 1 fields, and the table has 2"),
    "long row beside columns": ("a,b,c\n1,2,x\n1,2,x,y\n", {"columns": "0:2"}, "row 1 .*has 4 fields"),
    "text": ("a,b,c\n1,2,red\n", {}, "column 2 'c' is 'red', which is no number; choose .*`columns: \":2\"`"),
    "a date": ("x,day\n1.5,2020-01-31\n", {}, "column 1 'day' is '2020-01-31', which is no number"),
    "underscore": ("a,b\n3,2\n1_000,2\n", {}, "is '1_000', which is no number"),
    "quotation": ('n,x\n"a,1\nb,2\n', {}, "no row ends after line 2; is a quotation mark never closed there"),
    "only a header": ("a,b\n", {}, "has a header and no rows"),
    "blank": (" \n\n# x\n", {}, "has no rows"),
    "preamble": ("Device 7\n12:30, ok\na,b,c\n1,2,3\n4,5,6\n7,8,9\n", {}, "the header has 1 name, .*`skip`"),
    "short": ("1,2\n", {"skip": 5}, "has no more than 1 lines, and 5 are skipped"),
    "unknown column": ("height,b\n1,2\n", {"columns": "hight"}, "no column 'hight'; did you mean 'height'"),
    "column without a header": ("1,2.5\n3,4\n", {"columns": "a"}, "'a' is a name, and the columns of .* have none"),
    "two of a name": ("a,a\n1,2\n", {"columns": "a"}, "has 2 columns 'a'; give their numbers"),
    "a workbook": (b"PK\x03\x04rest", {}, "no table in text but a workbook of Excel"),
    "zero bytes": (b"a,b\n1,\x00\n", {}, "it holds zero bytes"),
    "an HDF5 file": (b"\x89HDF\r\n\x1a\n\0\0", {}, "no table in text but an HDF5 file; say `kind: hdf5`"),
}  # fmt: skip


def written(folder, content, name="t.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def all_of(source):
    dataset = source.open(0)
    return dataset.read(0, dataset.n_rows)


@pytest.mark.parametrize("name", TABLES)
def test_tables_as_people_and_programs_write_them(tmp_path, name):
    content, told, names, rows = TABLES[name]
    dataset = Csv(path=written(tmp_path, content), **told).open(0)
    assert dataset.column_names == names
    np.testing.assert_array_equal(dataset.read(0, dataset.n_rows), rows)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_or_cannot_be_told(tmp_path, name):
    content, told, sentence = REFUSED[name]
    with pytest.raises(DataError, match=sentence) as caught:
        all_of(Csv(path=written(tmp_path, content), **told))
    assert "t.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_encodings(tmp_path, encoding):
    path = written(tmp_path, "Größe;b\r\n1,5;2\r\n".encode(encoding))
    dataset = Csv(path=path).open(0)
    assert dataset.column_names == ("Größe", "b")
    np.testing.assert_array_equal(dataset.read(0, 1), [[1.5, 2]])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files(tmp_path, pack):
    values = np.random.default_rng(0).normal(size=(300, 3))
    content = pack("\n".join(",".join(map(repr, row)) for row in values.tolist()).encode())
    dataset = Csv(path=written(tmp_path, content, "t.csv.packed")).open(0)
    for start, stop in [(200, 300), (0, 10), (0, 300)]:
        np.testing.assert_array_equal(dataset.read(start, stop), values[start:stop])
    with pytest.raises(DataError, match="damaged"):
        Csv(path=written(tmp_path, content[:-20], "u.csv")).open(0)


def text_of_number(rng):
    """A finite number as one program or another writes it."""
    text = rng.choice([
        repr(struct.unpack("d", rng.randbytes(8))[0]),
        f"{rng.gauss(0, 1) * 10 ** rng.randint(-300, 300):.{rng.randint(0, 30)}e}",
        str(rng.randint(-(10**25), 10**25)), f"{rng.uniform(-999, 999):.17g}", ".5", "5.", "-0.0", "+3", "4.9e-324",
        "2.4703282292062327e-324", "2.4703282292062328e-324", "9007199254740993", "0.1" + "0" * 50 + "1",
    ])  # fmt: skip
    return text if math.isfinite(float(text)) else "1"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "  "])
def test_numbers_are_those_of_float_in_any_slice(tmp_path, monkeypatch, delimiter):
    """Also where blocks are so small that rows, line ends and comments lie across their borders."""
    monkeypatch.setattr(_text_rows, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(_text_rows, "_MARK_BYTES", 300)
    rng = random.Random(delimiter)
    texts = [[text_of_number(rng) for _ in range(5)] for _ in range(600)]
    lines, line_of_row = [], []
    for row in texts:
        if rng.random() < 0.1:
            lines.append(rng.choice(["", "   ", "# 1,2", ' # "quoted']))
        lines.append(delimiter.join(row))
        line_of_row.append(len(lines))
    path = written(tmp_path, "\r\n".join(lines))
    expected = np.array([[float(text) for text in row] for row in texts])
    dataset, rows = Csv(path=path).open(0), TextRows(TextFile(Path(path)), "#")
    for start, stop in [(0, 600), *(sorted(rng.choices(range(601), k=2)) for _ in range(30))]:
        assert dataset.read(start, stop).tobytes() == expected[start:stop].tobytes()
    assert [rows.line_number(row) for row in range(0, 600, 37)] == line_of_row[::37]
    some = Csv(path=path, columns=(3, "0:2")).open(0).read(0, 600)
    np.testing.assert_array_equal(some, expected[:, [3, 0, 1]])
    turned = Csv(path=path, transpose=True).open(0).read(1, 4)
    np.testing.assert_array_equal(turned, expected.T[1:4])
    if delimiter != ",":
        comma = Csv(path=written(tmp_path, "\n".join(lines).replace(".", ","))).open(0)
        assert comma.read(0, 600).tobytes() == expected.tobytes()


def test_a_damaged_table_never_ends_in_anything_but_a_sentence(tmp_path):
    content = b'name;a;"b b"\n"x ""1""";1,5;2\n# note\ny;;NA\nz;1e3;7\n'
    rng, sentences = np.random.default_rng(2), set()
    for _ in range(600):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(content))] = rng.choice(list(b"\"';,.\n\r\t #0a\x00\xff"))
        try:
            all_of(Csv(path=written(tmp_path, bytes(damaged)), missing=True))
        except DataError as error:
            sentences.add(str(error))
    assert len(sentences) > 20
    assert not any("\n" in sentence for sentence in sentences)


def test_what_is_found_is_told(tmp_path):
    rows = "".join(f"{row},{row / 2},{row / 3}\n" for row in range(9))
    dataset = Csv(path=written(tmp_path, "id,x,y\n" + rows)).open(0)
    assert dataset.notes == (f"{tmp_path}/t.csv: 3 fields, delimiter comma, header",)
    assert dataset.doubts == (
        f"{tmp_path}/t.csv: the first column 'id' seems to count the rows; set `row_names: true` to leave it out",
    )
    named = Csv(path=written(tmp_path, "city;x;y\nUlm;1,5;2\nBonn;3;4\n")).open(0)
    assert "decimal comma, the first field names the rows and is left out" in named.notes[0]
    assert "the first column 'city' holds texts and is left out" in named.doubts[0]
    for told in ({"row_names": True}, {"columns": "1:"}):
        assert Csv(path=str(tmp_path / "t.csv"), **told).open(0).doubts == ()


def test_a_file_that_changes_under_the_reader(tmp_path):
    dataset = Csv(path=written(tmp_path, "1,2.5\n3,4\n")).open(0)
    with (tmp_path / "t.csv").open("a", encoding="utf-8") as file:
        file.write("5,6\n")
    with pytest.raises(DataError, match=r"t\.csv was changed while its rows were in use"):
        dataset.read(0, 2)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"delimiter": "::"}, "delimiter '::' is none; legal is a single character, or tab, comma"),
        ({"thousands": "."}, "thousands and decimal cannot both be '.'"),
        ({"thousands": "1"}, "thousands '1' is none"),
        ({"comment": " "}, "comment must be a sign"),
        ({"skip": -1}, "`skip` must be an integer of at least 0"),
        ({"missing": True, "whiten": "zca"}, "leave out `whiten` or `missing`"),
    ],
)
def test_signs_that_are_none(told, sentence):
    with pytest.raises(UserError, match=sentence):
        Csv(path="t.csv", **told)
