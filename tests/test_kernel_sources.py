import ast
import importlib

import pytest

from prosper_ng import kernel_cache
from prosper_ng.kernel_sources import kernel_sources, module_texts


@pytest.mark.parametrize(
    ("imports", "use"),
    [
        ("from prosper_ng import constants", "constants.SCALE"),
        ("import prosper_ng.constants", "prosper_ng.constants.SCALE"),
        ("import prosper_ng.constants as c", "c.SCALE"),
        ("from prosper_ng.constants import *", "SCALE"),
        ("from .constants import SCALE", "SCALE"),
        ("from . import constants as c", "c.SCALE"),
        ("if True:\n    from prosper_ng.constants import SCALE as S\nT = [S]", "T[0]"),
        ("from prosper_ng.constants import SCALE\nT = {}\nT[1] = SCALE", "T[1]"),
        ("from prosper_ng.constants import SCALE\ndef of(x):\n    return SCALE * x", "of(2.0)"),
    ],
)
@pytest.mark.parametrize(
    "kernel",
    [
        "from numba import njit\n@njit(\n    cache=True,\n)\ndef f(x):\n    return USE\n",
        "from prosper_ng.kernels import kernel\n@kernel\ndef f(x):\n    return USE\n",
        "import numba as nb\ndef make():\n    '''Text\n\nof it.'''\n    @nb.njit\n    def f(x):\n        return USE\n",
        "import numba\ndef f(x):\n    text = '''# no\ncomment'''\n    return USE\ncompiled = numba.njit(f)\n",
    ],
)
def test_whatever_way_a_constant_takes_into_a_kernel(imports, use, kernel):
    constants = '"""Numbers."""\n# The first.\nSCALE = 2.0  # so far\nOTHER = """\n"""\n'
    texts = {"prosper_ng": "", "prosper_ng.constants": constants}
    texts["prosper_ng.kernel"] = f"{imports}\n{kernel.replace('USE', use)}"
    assert "SCALE = 2.0" in kernel_sources(texts)["prosper_ng.constants"]


def test_every_compiled_function_is_covered_with_all_it_uses():
    """Its own file as a whole, and what it imports: here the compiled functions themselves tell, and a real parser."""
    texts = module_texts(kernel_cache.PACKAGE, "prosper_ng")
    sources = kernel_sources(texts)
    used = set()
    for name in [name for name, text in texts.items() if "@kernel" in text]:
        assert sources[name] == texts[name]
        kernels = [value for value in vars(importlib.import_module(name)).values() if hasattr(value, "py_func")]
        codes = [kernel.py_func.__code__ for kernel in kernels if kernel.py_func.__module__ == name]
        words = {word for code in codes for word in code.co_names}
        imports = [node for node in ast.walk(ast.parse(texts[name])) if isinstance(node, ast.ImportFrom)]
        used |= {(node.module, alias.name) for node in imports for alias in node.names if alias.name in words}
    own = [(module, name) for module, name in used if module.startswith("prosper_ng")]
    assert len(own) > 20
    assert [(module, name) for module, name in own if name not in sources.get(module, "")] == []


def test_what_only_the_program_uses_is_not_in_the_key():
    texts = module_texts(kernel_cache.PACKAGE, "prosper_ng")
    others = {name: text for name, text in kernel_sources(texts).items() if "@kernel" not in text}
    assert "prosper_ng.errors" not in others
    assert not any("Protocol" in text or "UserError" in text for text in others.values())
