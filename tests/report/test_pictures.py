"""What pictures of a run say that only its record knows."""

import pytest

from prosper_ng.report.pictures import unit_of_data
from prosper_ng.storage.run_record import RunRecord


@pytest.mark.parametrize(
    ("data", "unit"),
    [
        ({"kind": "image"}, "8-bit scale"),
        ({"kind": "image", "whiten": "zca"}, "of whitened data"),
        ({"kind": "npy", "whiten": "none"}, "units of the data"),
        ("nothing", "units of the data"),
    ],
)
def test_the_noise_has_the_unit_of_the_rows(data, unit):
    fields = dict.fromkeys(RunRecord.__dataclass_fields__)
    assert unit_of_data(RunRecord(**fields | {"config": {"data": data}})) == unit
