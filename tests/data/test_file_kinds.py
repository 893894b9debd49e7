"""What came in the place of a file of data: pointers, web pages, folders, files of other formats."""

import gzip
import pickle
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image as Picture
from scipy.io import netcdf_file, savemat
from scipy.sparse import csr_array, save_npz

from prosper_ng.cli import main
from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.data.sources.image import Image
from prosper_ng.data.sources.mat import Mat
from prosper_ng.data.sources.npy import Npy
from prosper_ng.data.sources.npz import Npz
from prosper_ng.data.sources.sample import Sample
from prosper_ng.models.bsc import BSC

ROWS = np.arange(12.0).reshape(4, 3)
SOURCES = {
    "hdf5": lambda path: Hdf5(path=str(path), dataset="rows"),
    "mat": lambda path: Mat(path=str(path), variable="rows"),
    "npy": lambda path: Npy(path=str(path)),
    "npz": lambda path: Npz(path=str(path), array="rows"),
    "image": lambda path: Image(image=str(path), patch_size=2),
    "sample": lambda path: Sample(model=BSC(n_latents=2), n_rows=3, path=str(path)),
}

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n"
STAND_INS = [
    (LFS, "is a Git LFS pointer, not the file itself, which `git lfs pull` brings"),
    ("/annex/objects/SHA256E-s100--abc.h5\n", "is a pointer of git-annex, not the file itself, which `git annex get "),
    ("../.git/annex/objects/X/Y/SHA256E-s1--a/SHA256E-s1--a", "is a pointer of git-annex"),
    ("outs:\n- md5: a304afb96060aad90176268345e10355\n  path: data.h5\n", "`dvc pull "),
    ("\n<!DOCTYPE html>\n<html><head><title>Sign in</title>", "is a web page"),
    ("\ufeff<HTML>404", "is a web page"),
]


def refusal(source):
    with pytest.raises(DataError) as refused:
        source.open(0)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize(("content", "sentence"), STAND_INS)
def test_what_stands_in_for_a_file(tmp_path, kind, content, sentence):
    path = tmp_path / "data"
    path.write_text(content, encoding="utf-8")
    assert refusal(SOURCES[kind](path)).startswith(f"{path} {sentence}" if sentence[0] == "i" else str(path))
    assert sentence in refusal(SOURCES[kind](path))


@pytest.mark.parametrize("kind", ["hdf5", "image", "npy"])
def test_a_link_of_git_annex_to_what_was_not_fetched(tmp_path, kind):
    path = tmp_path / "data"
    path.symlink_to(".git/annex/objects/Xx/SHA256E-s1--abc")
    assert f"and there is nothing; `git annex get {path}` brings it" in refusal(SOURCES[kind](path))


def written(path, kind):
    if kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["rows"] = ROWS
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, rows=ROWS)
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, ROWS)
    elif kind == "mat":
        savemat(path, {"rows": ROWS}, appendmat=False)
    elif kind == "image":
        Picture.fromarray(np.zeros((8, 8), np.uint8)).save(path, "png")
    elif kind == "netcdf classic":
        with netcdf_file(path, "w") as file:
            file.createDimension("x", 2)
            file.createVariable("rows", "f8", ("x",))[:] = 1.0
    elif kind == "gzip":
        with gzip.open(path, "wb") as file:
            np.save(file, ROWS)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(ROWS))
    elif kind == "text":
        path.write_text("1,2\n3,4\n")
    elif kind == "json":
        path.write_text('{"message": "Not Found"}')
    elif kind == "xml":
        path.write_text('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>')
    else:
        path.write_bytes(bytes(5000))


OTHERS = {
    "hdf5": "an HDF5 file; say `kind: hdf5`",
    "npy": "a file of numpy.save; say `kind: npy`",
    "npz": "a ZIP archive; if numpy.savez wrote it, say `kind: npz`",
    "mat": "a MATLAB file; say `kind: mat`",
    "image": "an image; say `kind: image`",
    "netcdf classic": "a netCDF file of the classic format; convert it with `nccopy -k nc4 OLD NEW`",
    "gzip": "a file compressed by gzip; unpack it first",
    "pickle": "a pickle, which could run any program when loaded",
    "text": "text",
    "json": "JSON; is it an error of the server",
    "xml": "XML; is it an error of the server",
    "zeros": "nothing but zeros where its header should be",
}


@pytest.mark.parametrize("wanted", ["hdf5", "mat", "npy", "npz"])
@pytest.mark.parametrize("given", OTHERS)
def test_a_file_of_another_format_is_told(tmp_path, wanted, given):
    path = tmp_path / "data"
    written(path, given)
    if given == wanted or (wanted, given) == ("mat", "hdf5"):
        assert SOURCES[wanted](path).open(0).n_observed in ROWS.shape
    else:
        assert f"{path} is not a file of kind {wanted} but {OTHERS[given]}" in refusal(SOURCES[wanted](path))


def test_archives_without_arrays(tmp_path):
    save_npz(tmp_path / "sparse.npz", csr_array(np.eye(3)))
    for name in ("rows", "W"):
        assert "sparse.npz holds a sparse matrix of scipy; save it as a full one" in refusal(
            Npz(path=str(tmp_path / "sparse.npz"), array=name)
        )
    with zipfile.ZipFile(tmp_path / "book.npz", "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    assert "a ZIP archive without arrays of NumPy; it holds things like 'xl/workbook.xml'" in refusal(
        Npz(path=str(tmp_path / "book.npz"), array="rows")
    )
    np.savez(tmp_path / "other.npz", row=ROWS)
    assert str(refusal(Npz(path=str(tmp_path / "other.npz"), array="rows"))) == (
        f"{tmp_path}/other.npz has no array 'rows'; did you mean 'row'? (it has 'row')"
    )


def test_a_type_that_numpy_does_not_know(tmp_path):
    np.save(tmp_path / "bfloat16.npy", ROWS.astype("f2").view("V2"))
    assert "2 bytes of a type that NumPy does not know, such as bfloat16; save them as float32" in refusal(
        Npy(path=str(tmp_path / "bfloat16.npy"))
    )


@pytest.mark.parametrize("name", [".zarray", ".zgroup", "zarr.json"])
def test_a_store_of_zarr(tmp_path, name):
    (tmp_path / name).touch()
    assert f"{tmp_path} is a store of zarr; numpy.save('NEW.npy', zarr.open(FOLDER)[:])" in refusal(
        Hdf5(path=str(tmp_path), dataset="rows")
    )


def test_a_run_says_so(tmp_path, capsys):
    (tmp_path / "data.npy").write_text(LFS)
    config = tmp_path / "c.yaml"
    config.write_text(
        f"name: r\nmodel: {{kind: bsc, n_latents: 2}}\nestep: {{kind: exhaustive}}\ntask: {{kind: train}}\n"
        f"data: {{kind: npy, path: {tmp_path}/data.npy}}\noutput: {{folder: {tmp_path}/r}}\n"
    )
    assert main(["run", str(config)]) == 2
    assert "data.npy is a Git LFS pointer" in capsys.readouterr().err
