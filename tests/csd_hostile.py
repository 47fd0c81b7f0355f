"""Valid HDF5 that is no computational sequence, or one made to harm.

Functions of the path of a whole .csd file, which they change, and a random generator.
"""

import zlib

import h5py
import numpy as np

from emorec.sequences.csd import Rows

SECRET = 4321.0  # what stands in the other files that links point to


def replace(path, where, **dataset):
    with h5py.File(path, "r+") as file:
        del file[where]
        if dataset:
            file.create_dataset(where, **dataset)


def part(rng):
    return f"toy/data/v0/{rng.choice(Rows._fields)}"


def change_type(path, rng):
    compound = np.dtype([("a", "f4"), ("b", "f8", (3,))])
    kinds = [
        *("S4", "bool", "c8", "i1", "u8", "f2", "f8", ">f4", ">i8", compound),
        *(h5py.string_dtype(), h5py.ref_dtype, h5py.vlen_dtype("f4")),
        *(h5py.enum_dtype({"A": 1}), h5py.opaque_dtype("M8[s]"), np.longdouble),
    ]
    dtype = kinds[int(rng.integers(len(kinds)))]
    replace(path, part(rng), shape=(8, 5), dtype=dtype)


def change_shape(path, rng):
    shapes = [(), (0,), (8,), (8, 0), (0, 5), (7, 5), (8, 5, 1), (1,) * 32, (8, 6)]
    shape = shapes[int(rng.integers(len(shapes)))]
    replace(path, part(rng), data=rng.standard_normal(shape))


def empty_dataset(path, rng):
    replace(path, part(rng), data=h5py.Empty("f4"))


def declare_terabytes(path, rng):
    shapes = [(10**12, 5), (2**56, 5), (8, 10**12), (3 * 10**8, 5), (10**8, 2)]
    shape = shapes[int(rng.integers(len(shapes)))]
    chunks = (8, 2) if rng.random() < 0.7 else None
    packing = {"chunks": chunks, "compression": "gzip"} if chunks else {}
    replace(path, part(rng), shape=shape, dtype="f4", **packing)


def declare_huge_chunks(path, rng):
    with h5py.File(path, "r+") as file:
        where = part(rng)
        del file[where]
        dataset = file.create_dataset(
            where,
            (8, 5),
            "f4",
            chunks=(10**8, 5),
            maxshape=(None, 5),
            compression="gzip",
        )
        dataset.id.write_direct_chunk((0, 0), zlib.compress(bytes(10**6)))


def pack_a_bomb(path, rng):
    with h5py.File(path, "r+") as file:
        where = part(rng)
        del file[where]
        dataset = file.create_dataset(
            where,
            (8, 5),
            "f4",
            chunks=(20_000, 5),
            maxshape=(None, 5),
            compression="gzip",
        )
        packer = zlib.compressobj()
        megabyte = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
        # What is flushed can be repeated; the header of two bytes cannot.
        bomb = megabyte + megabyte[2:] * 1300 + packer.flush()
        dataset.id.write_direct_chunk((0, 0), bomb)


def ask_for_an_unknown_filter(path, rng):
    with h5py.File(path, "r+") as file:
        where = part(rng)
        del file[where]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((8, 5))
        plist.set_filter(31999, h5py.h5z.FLAG_OPTIONAL, (1, 2, 3))
        space = h5py.h5s.create_simple((8, 5))
        group = file["toy/data/v0"].id
        name = where.rsplit("/")[-1].encode()
        new = h5py.h5d.create(group, name, h5py.h5t.NATIVE_FLOAT, space, plist)
        new.write_direct_chunk((0, 0), b"x" * 160, 0)


def other_file(path):
    """Write a file of features beside this one, as if it were somebody else's."""
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        for name in ("all/v0", "all/data/v0", "all/metadata/v0"):
            file[f"{name}/features"] = np.full((8, 5), SECRET, "f4")
            file[f"{name}/intervals"] = np.full((8, 2), SECRET, "f4")
        file["all/metadata/stolen"] = [str(SECRET)]
    np.full((8, 5), SECRET, "f4").tofile(path.with_name("other.raw"))
    return str(other)


def link(path, rng):
    """Link out of the file, to nowhere, or in a circle."""
    other = other_file(path)
    with h5py.File(path, "r+") as file:
        file["out"] = h5py.ExternalLink(other, "/all")
        places = {
            "toy": ("/all", "/out"),
            "toy/data": ("/all/data", "/out/data"),
            "toy/metadata": ("/all/metadata", "/out/metadata"),
            "toy/data/v0": ("/all/v0", "/out/v0"),
            "toy/data/v0/features": ("/all/v0/features", "/out/v0/features"),
        }
        where = rng.choice(list(places))
        outside, through = places[where]
        made = {
            "external": h5py.ExternalLink(other, outside),
            "external, missing": h5py.ExternalLink("/nowhere.h5", "/"),
            "external, no HDF5": h5py.ExternalLink("/etc/passwd", "/"),
            "soft": h5py.SoftLink(through),
            "soft to nowhere": h5py.SoftLink("/nowhere/at/all"),
            "soft to itself": h5py.SoftLink("/" + where),
            "circle": file["toy"],
            "top": file["/"],
        }
        target = made[rng.choice(list(made))]
        del file[where]
        file[where] = target
        if where != "toy":
            del file["out"]  # so that the link through it leads nowhere, half the time
            if rng.random() < 0.5:
                file["toy/out"] = h5py.ExternalLink(other, "/all")


def store_outside(path, rng):
    """Take the numbers of a dataset from another file."""
    other = other_file(path)
    with h5py.File(path, "r+") as file:
        where = part(rng)
        columns = 5 if where.endswith("features") else 2
        del file[where]
        if rng.random() < 0.5:
            layout = h5py.VirtualLayout((8, columns), "f4")
            layout[:] = h5py.VirtualSource(other, "all/v0/features", (8, columns))
            file.create_virtual_dataset(where, layout)
        else:
            raw = str(path.with_name("other.raw"))
            file.create_dataset(
                where, (8, columns), "f4", external=[(raw, 0, 32 * columns)]
            )


def group_for_dataset(path, rng):
    with h5py.File(path, "r+") as file:
        where = part(rng)
        del file[where]
        file.create_group(where)


def dataset_for_group(path, rng):
    where = rng.choice(["toy", "toy/data", "toy/data/v0", "toy/metadata"])
    replace(path, where, data=rng.standard_normal((3, 2)))


def type_for_dataset(path, rng):
    with h5py.File(path, "r+") as file:
        where = rng.choice(["toy/data/v0/features", "toy/metadata/creator", "toy/data"])
        del file[where]
        file[where] = np.dtype("f4")


def odd_names(path, rng):
    names = [b"\xff\xfe\x80", b"a\nb", b"\xed\xa0\x80", b" ", b"[", b"[0]", b"v0[x]"]
    name = names[int(rng.integers(len(names)))] * int(rng.choice([1, 2000]))
    place = rng.choice(["toy/data", "toy/metadata", "toy/data/v0", "/"])
    with h5py.File(path, "r+") as file:
        h5py.h5g.create(file[place].id, name)


def rename_by_bytes(path, rng):
    """Put a slash, a dot, a zero or half a character into a name."""
    old, new = b"features", rng.choice(["fea/ures", ".", "../../..", "\0", "f\xfft"])
    new = new.encode("latin1")[:8].ljust(8, b"\0")
    path.write_bytes(path.read_bytes().replace(old, new))


def odd_metadata(path, rng):
    deep = "[" * 100_000
    values = [
        {"data": rng.bytes(300).replace(b"\0", b"")},
        {"data": [deep]},
        {"data": ["1" * 100_000]},
        {"data": ['{"a": NaN, "b": 1e999}']},
        {"data": "a scalar"},
        {"data": h5py.Empty("S1")},
        {"data": np.zeros(3)},
        {"shape": (10**9,), "dtype": h5py.string_dtype(), "chunks": (1000,)},
        {"shape": (1,), "dtype": "S100000000", "chunks": (1,), "compression": "gzip"},
        {"shape": (0,), "dtype": h5py.string_dtype()},
        {"data": ["x" * 10**8]},
    ]
    key = rng.choice(["creator", "root name", "dimension names"])
    replace(path, f"toy/metadata/{key}", **values[int(rng.integers(len(values)))])


STRUCTURES = (
    *(change_type, change_shape, empty_dataset, declare_terabytes),
    *(declare_huge_chunks, pack_a_bomb, ask_for_an_unknown_filter, link),
    *(store_outside, group_for_dataset, dataset_for_group, type_for_dataset),
    *(odd_names, rename_by_bytes, odd_metadata),
)
