"""What MATLAB keeps in files besides full matrices of real numbers, and how to make such a matrix of it."""

NUMERIC = frozenset(
    ("double", "single", "logical", *(f"{sign}int{n_bits}" for sign in ("", "u") for n_bits in (8, 16, 32, 64)))
)
"""The classes that are read."""

_OF_NUMBERS = "only a full matrix of real numbers can be learned from"
_AS_NUMBERS = {
    "string": "double({x})",
    "char": "str2num({x})",
    "cell": "cell2mat({x})",
    "struct": "{x}.FIELD",
    "table": "table2array({x})",
    "timetable": "{x}.Variables",
    "datetime": "posixtime({x})",
    "duration": "seconds({x})",
    "categorical": "double({x})",
    "containers.Map": "cell2mat(values({x}))",
    "sparse": "full({x})",
    "logical sparse": "double(full({x}))",
    "dlarray": "extractdata({x})",
    "gpuArray": "gather({x})",
    "tall": "gather({x})",
    "complex": "[real({x}), imag({x})]",
}
"""Expressions that are numbers where anything in a variable of that class is."""


def not_numbers(where: str, variable: str, matlab_class: str) -> str:
    """The sentence that the variable called `where` is of a class which is none of numbers, and what to do in MATLAB.

    `sparse` and `complex` stand for matrices of these kinds, `opaque` for an object of a class that is not known.
    """
    name = variable.rsplit("/", 1)[-1]
    if matlab_class in ("function", "function_handle"):
        return f"{where} is a function (class function_handle); {_OF_NUMBERS}: save the values that it gives"
    kind = {
        "sparse": "is a sparse matrix (class sparse)",
        "logical sparse": "is a sparse matrix (class logical)",
        "complex": "holds complex numbers",
        "char": "holds text (class char)",
        "opaque": "is an object (class unknown)",
    }.get(matlab_class, f"is of class {matlab_class}")
    numbers = _AS_NUMBERS.get(matlab_class, "double({x})").format(x=name)
    return f"{where} {kind}; {_OF_NUMBERS}: in MATLAB, {name} = {numbers}; save('NEW.mat', '{name}', '-v7.3')"
