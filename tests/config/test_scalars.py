import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosper_ng.config.scalars import MAX_DIGITS, is_text, meant_bool, meant_number, resolve

VALUES = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "0": 0, "-0": 0, "12": 12, "+12": 12, "-7": -7, "0o17": 15, "0x1F": 31, "0xff": 255,
    "1.": 1.0, ".5": 0.5, "-.5": -0.5, "1.5": 1.5, "1e-3": 0.001, "1E3": 1000.0, "1.5e+2": 150.0, ".5e1": 5.0,
    "12e03": 12000.0, "00.5": 0.5, ".inf": math.inf, "+.INF": math.inf, "-.Inf": -math.inf,
}  # fmt: skip

TEXTS = [
    "no", "yes", "on", "off", "y", "n", "nULL", "tRUE", "012", "-012", "08", "0o8", "0xg", "-0x1", "1:30", "1_000",
    "2024-01-01", "1.2.3", "e5", "1e", ".", "-", "+", ".e1", "inf", "nan", ".infinity", "１２", "1 2", "abc", "0b11",
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_core_schema_of_yaml_1_2(text, value):
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize("text", TEXTS)
def test_everything_else_is_text(text):
    assert resolve(text) == text


def test_not_a_number():
    assert all(math.isnan(resolve(text)) for text in (".nan", ".NaN", ".NAN"))


@given(st.integers())
def test_integers_come_back(value):
    assert resolve(str(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_with_all_their_bits(value):
    back = resolve(repr(value))
    assert type(back) is float
    assert back.hex() == value.hex()


def test_endless_integers_are_refused():
    assert resolve("9" * MAX_DIGITS) == 10**MAX_DIGITS - 1
    with pytest.raises(ValueError, match="more than 100 digits"):
        resolve("9" * (MAX_DIGITS + 1))


@pytest.mark.parametrize(
    ("text", "integer", "meant"),
    [
        ("012", True, "12"),
        ("-007", True, "-7"),
        ("1_000", True, "1000"),
        (" 64 ", True, "64"),
        ("1e3", True, "1000"),
        ("64.0", True, "64"),
        ("6.5", True, None),
        ("6.5", False, "6.5"),
        ("1e300", True, None),
        ("1e999", True, None),
        ("0x1F", True, "0x1F"),
        ("many", True, None),
        ("9" * 200, True, None),
    ],
)
def test_what_was_meant_by_something_like_a_number(text, integer, meant):
    assert meant_number(text, integer) == meant


@given(st.text(), st.booleans())
def test_advice_for_numbers_is_a_number(text, integer):
    advice = meant_number(text, integer)
    assert advice is None or isinstance(resolve(advice), int if integer else int | float)


def test_what_was_meant_by_a_word_for_a_boolean():
    assert [meant_bool(word) for word in ("no", "OFF", "Yes", "on", "TRUE", "maybe")] == [
        "false", "false", "true", "true", "true", None,
    ]  # fmt: skip


def test_text_that_nothing_can_hold():
    assert is_text("Größe 数 \U0001f600\t\n")
    assert not is_text("a\0b")
    assert not is_text("\ud800")
