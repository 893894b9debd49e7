"""Progress and Ctrl-C in a real kernel of Jupyter."""

import threading
from queue import Empty

import pytest

pytestmark = pytest.mark.slow
manager = pytest.importorskip("jupyter_client.manager")
pytest.importorskip("ipykernel")

BEGIN = """
import sys, tempfile, threading
import numpy as np
import prosper_ng
from prosper_ng.estimators import GSC
from threadpoolctl import threadpool_info

folder = tempfile.mkdtemp()
data = np.random.default_rng(0).normal(size=(2000, 16))

def learn(n_sweeps=5000, **changes):
    training = {"n_sweeps": n_sweeps, "updates_per_sweep": 3, "block_rows": 64}
    model, estep = {"kind": "gsc", "n_latents": 12}, {"kind": "search", "n_states": 30}
    return prosper_ng.learn(data, model, estep=estep, training=training, **changes)

def state():
    return threading.active_count(), [each["num_threads"] for each in threadpool_info()]

expected = learn(2, progress=False).digest
before = state()
"""


class Kernel:
    """Runs code as a notebook does."""

    def __init__(self):
        self.manager, self.client = manager.start_new_kernel(kernel_name="python3")

    def __call__(self, code, interrupt_at=None):
        """What a cell shows at the end: texts, with the outputs that change in place once, and the error."""
        message_id = self.client.execute(code)
        shown, error = {}, None
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=240)
            except Empty:
                raise AssertionError(f"{code} takes too long") from None
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "error":
                error = content["ename"], content["evalue"]
            elif kind == "stream":
                shown[len(shown)] = content["text"]
            elif kind in ("display_data", "update_display_data"):
                shown[content["transient"]["display_id"]] = content["data"]["text/plain"]
                if interrupt_at is not None and interrupt_at in content["data"]["text/plain"]:
                    self.manager.interrupt_kernel()
                    interrupt_at = None
            elif kind == "execute_result":
                shown[len(shown)] = content["data"]["text/plain"]
            elif kind == "status" and content["execution_state"] == "idle":
                return [*shown.values()], error


@pytest.fixture(scope="module")
def kernel():
    opened = Kernel()
    assert opened(BEGIN) == ([], None)
    yield opened
    opened.manager.shutdown_kernel(now=True)


def test_a_bar_is_one_output_that_ends_with_the_last_sweep(kernel):
    (bar, same), error = kernel("learn(2).digest == expected")
    assert bar.startswith("sweep 2/2  F -")
    assert (same, error) == ("True", None)
    assert kernel("import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()): learn(2)") == ([], None)
    assert kernel("learn(2, progress=False).n_sweeps") == (["2"], None)


@pytest.mark.parametrize(
    "call",
    ["learn()", "learn(n_jobs=2)", "learn(folder=folder + '/a')", "learn(folder=folder + '/b', n_jobs=2)"],
)
def test_an_interrupted_kernel_keeps_what_was_learned_and_goes_on(kernel, call):
    (bar, *said), (name, _) = kernel(call, interrupt_at="sweep    ")
    assert all(each.startswith("interrupted: it ends after this sweep") for each in said)
    assert (name, bar.startswith("sweep ")) == ("KeyboardInterrupt", True)
    (kept,), _ = kernel("sys.last_value.learned.n_sweeps > 0, state() == before")
    assert kept == "(True, True)"
    (_, same), _ = kernel("learn(2).digest == expected")
    assert same == "True"


def test_an_interrupted_estimator_is_fitted(kernel):
    threading.Timer(4.0, kernel.manager.interrupt_kernel).start()
    shown, error = kernel("coder = GSC(n_components=12, max_iter=100_000, tol=0).fit(data); coder.n_iter_ > 0")
    assert (shown[-1], error) == ("True", None)
    assert any("learning was interrupted after" in text for text in shown)
