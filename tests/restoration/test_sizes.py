"""The sizes that suit a picture: legal for any, growing with the noise, small for small ones."""

from hypothesis import given
from hypothesis import strategies as st

from prosper_ng.data.patches import PatchGrid
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.restoration.noise_level import Noise
from prosper_ng.restoration.sizes import Given, sizes_for

SIDES = st.integers(1, 5000)
NOISE = st.builds(Noise, st.floats(0, 1e6), st.floats(0, 1))


SETTLED = st.tuples(*[st.none() | st.integers(1, 5000)] * 2)


@given(SIDES, SIDES, st.sampled_from([1, 3]), st.none() | NOISE, SETTLED)
def test_they_are_legal_for_any_picture(height, width, n_channels, noise, settled):
    stride, block_rows = settled
    sizes = sizes_for((height, width, n_channels), noise, Given(None, stride, block_rows))
    n_rows = PatchGrid((height, width, n_channels), sizes.patch_size, sizes.stride).n_patches
    blocks = RowBlocks(n_rows, block_rows or default_block_rows(n_rows, sizes.n_updates), sizes.n_updates)
    assert blocks.n_blocks >= sizes.n_updates
    assert 1 <= sizes.n_latents <= n_rows
    assert sizes.stride == stride or sizes.stride <= max(1, min(sizes.patch_size) // 2)


@given(SIDES, SIDES, NOISE, NOISE)
def test_patches_grow_where_less_stands_out_of_the_noise(height, width, a, b):
    more, less = (sizes_for((height, width, 1), noise) for noise in sorted((a, b), key=lambda noise: noise.visible))
    assert less.patch_size <= more.patch_size
    assert less.group_size <= more.group_size


@given(st.integers(16, 2000), st.integers(16, 2000), NOISE)
def test_a_larger_picture_has_patches_no_nearer_and_no_fewer_latents(height, width, noise):
    one, four = (sizes_for((scale * height, scale * width, 1), noise) for scale in (1, 2))
    assert one.stride <= four.stride
    assert one.n_latents <= four.n_latents


@given(SIDES, SIDES, NOISE)
def test_groups_have_smaller_patches_in_color(height, width, noise):
    gray, color = (sizes_for((height, width, n_channels), noise) for n_channels in (1, 3))
    assert 0 < color.group_size < gray.group_size


def test_smooth_pictures_are_learned_from_all_their_patches():
    found = {
        (sigma, visible): sizes_for((256, 256, 1), Noise(sigma, visible)).stride
        for sigma in (20.0, 50.0)
        for visible in (0.05, 0.2, 0.5)
    }
    assert [key for key, stride in found.items() if stride == 1] == [(20.0, 0.05), (20.0, 0.2), (50.0, 0.05)]
