"""Scalars as YAML 1.2 (core schema) reads them, and what the writer of a look-alike probably meant."""

import math
import re

from prosper_ng.config.characters import with_plain_signs

Scalar = None | bool | int | float | str

MAX_DIGITS = 100
"""Longer integers are refused: none is meaningful, and Python itself stops converting them at some length."""

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|\.[0-9]+[eE][-+]?[0-9]+)", re.ASCII)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+", re.ASCII)
_GROUPED = re.compile(r"[-+]?[0-9]{1,3}( [0-9]{3})+([.,][0-9]+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[-+]?([0-9]+,([0-9]{1,2}|[0-9]{4,})|0,[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)
"""With three digits behind it, a comma may also be that of thousands."""
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOTHING = {"none", "nil", "null", "nul", "nothing", "undefined", "n/a", "na"}
_ENDLESS = {"inf", "+inf", "infinity", "+infinity", "unlimited", "nan"}
_YAML_1_1_BOOL = {
    "true": "true", "yes": "true", "on": "true", "y": "true", "t": "true",
    "false": "false", "no": "false", "off": "false", "n": "false", "f": "false",
}  # fmt: skip


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar.

    `yes`, `off`, `1:30`, `1_000`, dates and the like are text, as YAML 1.2 says; so is `012`, which some programs read
    as ten and others as twelve. Raises ValueError for an integer of more than MAX_DIGITS characters.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"an integer of more than {MAX_DIGITS} digits")
        return int(text, 0)
    if _LEADING_ZERO.fullmatch(text):
        return text
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.fullmatch(text)
    if special:
        return math.nan if special[3] else math.copysign(math.inf, -1.0 if special[1] == "-" else 1.0)
    return text


def is_text(text: str) -> bool:
    """Whether a file name, a JSON document or an HDF5 attribute could hold the text: no NUL, no half surrogate pair."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


def meant_bool(text: str) -> str | None:
    """`true` or `false` for a word that other versions of YAML, or people, use for it."""
    return _YAML_1_1_BOOL.get(text.strip().lower())


def means_nothing(text: str) -> bool:
    """Whether a word that YAML takes for text stands for null in other languages, or in a person's mind."""
    return text.lower() in _NOTHING and text not in _NULL


def means_no_number(text: str) -> bool:
    """Whether a word says that there is no number, or no end to it."""
    return text.lower().replace(".", "", 1) in _ENDLESS


def meant_number(text: str, integer: bool) -> str | None:
    """How YAML 1.2 writes the number that `text` looks like: `012`, `1_000`, `1 000`, `0,5`, `"64"`, `1e3` for
    an integer, and whatever has a dash or a blank that is none of those of YAML.
    """
    bare = with_plain_signs(text).strip().replace("_", "")
    if _GROUPED.fullmatch(bare):
        bare = bare.replace(" ", "")
    if _DECIMAL_COMMA.fullmatch(bare):
        bare = bare.replace(",", ".")
    if len(bare) > MAX_DIGITS:
        return None
    if _LEADING_ZERO.fullmatch(bare):
        return str(int(bare, 10))
    if _INTEGER.fullmatch(bare):
        return bare
    if not _FLOAT.fullmatch(bare):
        return None
    if not integer:
        return bare
    value = float(bare)
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else None
