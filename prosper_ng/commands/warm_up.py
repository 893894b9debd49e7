"""`prosper-ng warm-up [MODEL ...]`: compile the kernels of models before they are used, for images and login nodes."""

import argparse

HELP = "compile what models need before their first use, as in an image or on a login node"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="the models, such as bsc; all if none is given")


def run(arguments: argparse.Namespace) -> int:
    """0 once all is compiled. Raises UserError where there is no such model, or no folder to keep it in."""
    from prosper_ng.config import ConfigError
    from prosper_ng.errors import UserError
    from prosper_ng.kernel_cache import places
    from prosper_ng.running.first_use import compile_model, kinds

    models = list(kinds(arguments.models))
    folder = places().write
    if folder is None:
        raise UserError(
            "compiled kernels can be kept nowhere: no folder can be written to, or the sources have changed just now; "
            "set NUMBA_CACHE_DIR to a folder that can be written to, or start again"
        )
    for kind in models:
        try:
            found = compile_model(kind)
            said = str(found) if found.n_kernels else "all kernels are there"
        except ConfigError:
            said = "has options without a default, and so is compiled in its first run"
        if not arguments.quiet:
            print(f"{kind:<10} {said}", flush=True)
    if not arguments.quiet:
        print(f"kernels are in {folder}")
    return 0
