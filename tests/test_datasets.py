"""Data from files: every format against the arrays that were written, and what is refused with its sentence."""

import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

import landscape_engine as le
from explorer.datasets import DataChoices, look_into, read

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 3)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
ALL = DataChoices(split=0)


def back(data, part="train"):
    """Inputs and targets of a part in the order of the file."""
    inputs, targets = data.parts[part]
    order = data.rows[part].argsort()
    return inputs[order], targets[order]


def same(data, x, y, part="train"):
    inputs, targets = back(data, part)
    torch.testing.assert_close(inputs, torch.as_tensor(np.asarray(x)), rtol=1e-6, atol=0)
    torch.testing.assert_close(targets, torch.as_tensor(np.asarray(y)), rtol=1e-6, atol=0)


def sentence(path, choices=ALL):
    with pytest.raises(le.LandscapeError) as caught:
        read(path, choices)
    return str(caught.value).replace(f"{path.parent}/", "")


NAMES = [("x", "y"), ("X", "Y"), ("inputs", "targets"), ("data", "target"), ("images", "labels"), ("features", "label")]


@pytest.mark.parametrize("names", NAMES)
def test_an_archive_of_arrays_is_read_by_their_usual_names(tmp_path, names):
    np.savez(tmp_path / "d.npz", **dict(zip(names, (X, Y), strict=True)), other=np.zeros(4))
    data = read(tmp_path / "d.npz", ALL)
    same(data, X, Y)
    assert (data.kind, data.test, data.classes) == ("vectors", None, ())
    assert data.facts[0] == f"Inputs: {names[0]}. Targets: {names[1]}."


def test_arrays_that_were_chosen_are_taken(tmp_path):
    np.savez(tmp_path / "d.npz", a=X, b=2 * X, c=Y, y=Y)
    same(read(tmp_path / "d.npz", DataChoices(inputs="b", targets="c", split=0)), 2 * X, Y)
    assert look_into(tmp_path / "d.npz").names["a"] == "shape (10, 3) in float32"


@pytest.mark.parametrize(
    "names", ["x_train y_train x_test y_test", "Xtrain Ytrain Xtest Ytest", "train/x train/y val/x val/y"]
)
def test_the_test_part_is_found_by_name(tmp_path, names):
    np.savez(tmp_path / "d.npz", **dict(zip(names.split(), (X[:6], Y[:6], X[6:], Y[6:]), strict=True)))
    data = read(tmp_path / "d.npz")
    same(data, X[:6], Y[:6])
    same(data, X[6:], Y[6:], "test")
    assert f"The files name the test part: {'validation' if 'val' in names else 'test'}." in data.facts


def test_without_a_test_part_a_share_is_held_out_and_said(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    data = read(tmp_path / "d.npz", DataChoices(split=0.3, seed=5))
    rows = [data.rows[part].tolist() for part in ("train", "test")]
    assert sorted(rows[0] + rows[1]) == list(range(10)) and len(rows[1]) == 3
    for part in ("train", "test"):
        same(data, X[data.rows[part].sort().values], Y[data.rows[part].sort().values], part)
    assert "3 of 10 rows, drawn at random with seed 5, are the test part." in data.facts
    assert read(tmp_path / "d.npz", DataChoices(split=0.3, seed=5)).rows["test"].tolist() == rows[1]


def test_the_first_examples_are_a_fair_sample_of_sorted_ones(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((1000, 1), "float32"), y=np.repeat([0, 1], 500))
    few = read(tmp_path / "d.npz", DataChoices(split=0, samples=100)).train[1]
    assert len(few) == 100 and 30 < few.sum() < 70


def test_a_part_without_targets_is_left_out_and_said(tmp_path):
    (tmp_path / "train.csv").write_text("id,a,kind\n0,5,cat\n1,6,dog\n")
    (tmp_path / "test.csv").write_text("id,a\n2,7\n3,8\n")
    data = read(tmp_path, ALL)
    same(data, np.array([[5], [6]], "float32"), [0, 1])
    assert data.test is None and "The test part is not used." in data.facts


def test_types_of_other_machines_and_bytes_are_read(tmp_path):
    np.savez(tmp_path / "d.npz", x=PIXELS.astype(">u2"), y=np.array([b"dog", b"cat", b"dog", b"cat"]))
    data = read(tmp_path / "d.npz", ALL)
    same(data, PIXELS.transpose(0, 3, 1, 2) / np.float32(65535), [1, 0, 1, 0])
    assert data.classes == ("cat", "dog")
    fields = [("a", ">f4"), ("b", "i4"), ("label", "S3")]
    np.save(tmp_path / "d.npy", np.array([(1.5, 2, b"dog"), (3, 4, b"cat")], fields))
    same(read(tmp_path / "d.npy", ALL), np.array([[1.5, 2], [3, 4]], "float32"), [1, 0])


def test_files_of_single_arrays_belong_together(tmp_path):
    for name, array in {"X_train": X[:6], "y_train": Y[:6], "X_test": X[6:], "y_test": Y[6:]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "README.txt").write_text("not data")
    data = read(tmp_path)
    same(data, X[:6], Y[:6])
    same(data, X[6:], Y[6:], "test")


def test_rows_in_several_files_come_one_after_another_in_natural_order(tmp_path):
    for k, rows in {2: slice(0, 4), 10: slice(4, 10)}.items():
        np.savez(tmp_path / f"shard_{k}.npz", x=X[rows], y=Y[rows])
    same(read(tmp_path, ALL), X, Y)


def test_a_single_array_of_rows_has_its_targets_in_the_last_column(tmp_path):
    np.save(tmp_path / "table.npy", np.column_stack([X, Y]).astype("float64"))
    data = read(tmp_path / "table.npy", ALL)
    same(data, X, Y)
    assert "'column 4' holds whole numbers from 0 on, taken as classes." in data.facts


def test_a_safetensors_file_is_read(tmp_path):
    save_file({"x": X, "y": Y}, tmp_path / "d.safetensors")
    same(read(tmp_path / "d.safetensors", ALL), X, Y)


def test_numbers_that_are_no_classes_stay_numbers(tmp_path):
    y = Y.astype("float64") + 0.5
    np.savez(tmp_path / "d.npz", x=X.astype("float64"), y=y[:, None])
    same(read(tmp_path / "d.npz", ALL), X, y.astype("float32"))


WORDS = np.array(["setosa", "virginica", "versicolor"])[Y]
HEADED = "a,b,c,species\n" + "".join(f"{a},{b},{c},{w}\n" for (a, b, c), w in zip(X, WORDS, strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("d.csv", HEADED),
        ("d.csv", HEADED.split("\n", 1)[1]),
        ("d.csv", "\ufeff" + HEADED.replace(",", ";")),
        ("d.tsv", HEADED.replace(",", "\t")),
        ("d.data", HEADED.split("\n", 1)[1].replace(",", "   ")),
        ("d.csv", "".join(f"{k - 1 if k else ''},{line}\n" for k, line in enumerate(HEADED.splitlines()))),
    ],
    ids=["header", "no header", "semicolons", "tabs", "spaces", "a column that counts"],
)
def test_a_table_has_its_targets_in_the_last_column_and_numbers_for_its_words(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    data = read(tmp_path / name, ALL)
    same(data, X, np.array([0, 2, 1])[Y])
    assert data.classes == ("setosa", "versicolor", "virginica")
    assert "Classes in the order of their numbers: setosa 0, versicolor 1, virginica 2." in data.facts


def test_a_column_with_the_name_of_a_target_is_it_wherever_it_stands(tmp_path):
    (tmp_path / "d.csv").write_text("label,x,y\n1,0.5,2\n0,1.5,3\n")
    data = read(tmp_path / "d.csv", ALL)
    same(data, np.array([[0.5, 2], [1.5, 3]], "float32"), [1, 0])
    assert data.facts[0] == "Inputs: x, y. Targets: label."
    chosen = read(tmp_path / "d.csv", DataChoices(inputs=["x"], targets="y", split=0))
    same(chosen, np.array([[0.5], [1.5]], "float32"), [2, 3])


def test_a_comma_may_stand_for_the_point(tmp_path):
    (tmp_path / "d.csv").write_text("a;label\n1,5;0\n2,25;1\n")
    same(read(tmp_path / "d.csv", ALL), np.array([[1.5], [2.25]], "float32"), [0, 1])


@pytest.mark.parametrize(("text", "reason"), [("\n \n", "it has no rows"), ("a,b,c\n", "it has no row with a number")])
def test_a_table_without_rows_is_told(tmp_path, text, reason):
    (tmp_path / "d.csv").write_text(text)
    assert sentence(tmp_path / "d.csv") == f"d.csv cannot be read as a table ({reason}). Save it again."


def test_tables_of_two_parts_number_their_words_alike(tmp_path):
    (tmp_path / "train.csv").write_text("a,label\n1,dog\n2,cat\n")
    (tmp_path / "test.csv").write_text("a,label\n3,eel\n4,dog\n")
    data = read(tmp_path)
    same(data, np.array([[1], [2]], "float32"), [1, 0])
    same(data, np.array([[3], [4]], "float32"), [2, 1], "test")


def test_words_among_the_inputs_are_numbered_and_said(tmp_path):
    (tmp_path / "d.csv").write_text("color,size,label\nred,1,0\nblue,2,1\n")
    data = read(tmp_path / "d.csv", ALL)
    same(data, np.array([[1, 1], [0, 2]], "float32"), [0, 1])
    assert "Text in 'color' was numbered: blue 0, red 1." in data.facts


def test_names_of_classes_beside_the_labels_are_kept(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y, class_names=np.array(["a", "b", "c"]))
    assert read(tmp_path / "d.npz").classes == ("a", "b", "c")


PIXELS = RNG.integers(0, 256, (4, 5, 6, 3), dtype="uint8")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (PIXELS, PIXELS.transpose(0, 3, 1, 2) / np.float32(255)),
        (PIXELS.transpose(0, 3, 1, 2), PIXELS.transpose(0, 3, 1, 2) / np.float32(255)),
        (PIXELS[..., 0], PIXELS[:, None, :, :, 0] / np.float32(255)),
        (PIXELS.astype("float64") - 7, PIXELS.transpose(0, 3, 1, 2).astype("float32") - 7),
    ],
    ids=["channels last", "channels first", "gray", "numbers with a scale of their own"],
)
def test_images_have_their_channels_first_and_whole_numbers_are_scaled(tmp_path, stored, expected):
    np.savez(tmp_path / "d.npz", x=stored, y=Y[:4])
    data = read(tmp_path / "d.npz", ALL)
    same(data, expected, Y[:4])
    assert data.kind == "images" and (stored.dtype != np.uint8 or "between 0 and 1" in data.facts[-1])


def test_tokens_stay_whole_numbers_and_foretell_the_next(tmp_path):
    tokens = np.arange(20).reshape(4, 5).astype("int32")
    np.savez(tmp_path / "d.npz", input_ids=tokens)
    data = read(tmp_path / "d.npz", ALL)
    same(data, tokens[:, :-1].astype("int64"), tokens[:, 1:].astype("int64"))
    assert data.kind == "tokens" and "Targets are the tokens that come next." in data.facts
    np.savez(tmp_path / "d.npz", x=tokens, y=tokens + 1)
    data = read(tmp_path / "d.npz", ALL)
    same(data, tokens.astype("int64"), tokens.astype("int64") + 1)


@pytest.mark.parametrize(("how", "dims"), [("feature", (0,)), ("channel", (0, 2, 3))])
def test_inputs_are_standardized_by_the_training_part_alone(tmp_path, how, dims):
    images = RNG.normal(3, 2, size=(12, 2, 4, 4))
    np.savez(tmp_path / "d.npz", x_train=images[:8], y_train=Y[:8], x_test=images[8:], y_test=Y[:4])
    data = read(tmp_path / "d.npz", DataChoices(standardize=how))
    mean, deviation = images[:8].mean(dims, keepdims=True), images[:8].std(dims, keepdims=True)
    for part, rows in (("train", images[:8]), ("test", images[8:])):
        np.testing.assert_allclose(back(data, part)[0], (rows - mean) / deviation, rtol=1e-3, atol=1e-5)
    if how == "channel":
        numbers = [f"{values[0, 0, 0, 0]:.4g}, {values[0, 1, 0, 0]:.4g}" for values in (mean, deviation)]
        said = "Each channel was standardized by the training part: means {}; standard deviations {}."
        assert data.facts[-1] == said.format(*numbers)


def test_a_feature_that_is_always_the_same_is_only_centered(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.column_stack([X[:, 0], np.full(10, 7.0)]), y=Y)
    assert (read(tmp_path / "d.npz", DataChoices(split=0, standardize="feature")).train[0][:, 1] == 0).all()


def test_inputs_take_the_shape_that_was_chosen(tmp_path):
    np.savez(tmp_path / "d.npz", x=PIXELS, y=Y[:4])
    data = read(tmp_path / "d.npz", DataChoices(split=0, shape=(-1,)))
    same(data, (PIXELS.transpose(0, 3, 1, 2) / np.float32(255)).reshape(4, -1), Y[:4])
    assert sentence(tmp_path / "d.npz", DataChoices(split=0, shape=(7, 7))) == (
        "shape must be a shape of the 90 numbers of an input, but it is (7, 7)."
    )


def picture(color, size=(4, 3), mode="RGB"):
    content = io.BytesIO()
    Image.new(mode, size, color).save(content, "png")
    return content.getvalue()


PICTURES = {
    "pets/train/cat/2.png": picture((255, 0, 0)),
    "pets/train/cat/10.png": picture((0, 0, 51)),
    "pets/train/dog/1.png": picture((0, 255, 0)),
    "pets/test/dog/1.png": picture((102, 102, 102)),
    "pets/notes.txt": b"not a picture",
    "__MACOSX/pets/train/cat/._2.png": b"not a picture",
}


def write_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_folder(path, members):
    for name, content in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


@pytest.mark.parametrize("zipped", [False, True])
def test_folders_of_images_are_classes(tmp_path, zipped):
    where = tmp_path / ("pets.zip" if zipped else "folder")
    (write_zip if zipped else write_folder)(where, PICTURES)
    data = read(where)
    assert (data.classes, data.kind) == (("cat", "dog"), "images")
    inputs, targets = back(data)
    assert inputs.shape == (3, 3, 3, 4) and targets.tolist() == [0, 0, 1]
    torch.testing.assert_close(inputs[:, :, 0, 0], torch.tensor([[1.0, 0, 0], [0, 0, 0.2], [0, 1, 0]]))
    assert back(data, "test")[1].tolist() == [1] and back(data, "test")[0].unique().tolist() == pytest.approx([0.4])


def test_gray_images_have_one_channel(tmp_path):
    write_folder(tmp_path, {f"{k}/a.png": picture(51 * k, mode="L") for k in range(3)})
    inputs, _ = back(read(tmp_path, ALL))
    assert inputs.shape == (3, 1, 3, 4) and inputs[:, 0, 0, 0].tolist() == pytest.approx([0, 0.2, 0.4])


def test_images_of_several_sizes_need_one(tmp_path):
    write_folder(tmp_path / "p", {"a/1.png": picture(0), "b/1.png": picture(0), "b/2.png": picture(0, (9, 9))})
    assert sentence(tmp_path / "p") == (
        "The images have 2 sizes, most of them 3 × 4 (height × width). Choose one size for all, such as size=(3, 4)."
    )
    assert read(tmp_path / "p", DataChoices(split=0, size=(3, 4))).train[0].shape == (3, 3, 3, 4)


def idx(array):
    code = {"u1": 8, "i4": 12}[array.dtype.str[1:]]
    return (
        bytes([0, 0, code, array.ndim])
        + struct.pack(f">{array.ndim}i", *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def test_mnist_is_read_as_it_is_published(tmp_path):
    images = PIXELS[..., 0]
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[:3])))
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx(Y[:3].astype("u1")))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(images[3:]))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(Y[3:4].astype("u1")))
    data = read(tmp_path)
    same(data, images[:3, None] / np.float32(255), Y[:3])
    same(data, images[3:, None] / np.float32(255), Y[3:4], "test")


@pytest.mark.parametrize("labels", [1, 2])
def test_cifar_is_read_in_its_binary_version(tmp_path, labels):
    pixels = RNG.integers(0, 256, (4, 3072), dtype="uint8")
    records = np.column_stack([*[np.full(4, 9, "u1")] * (labels - 1), Y[:4].astype("u1"), pixels])
    names = ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"] if labels == 1 else ["train.bin", "test.bin"]
    for name, rows in zip(
        names, [records[:2], records[2:3], records[3:]] if labels == 1 else [records[:3], records[3:]], strict=True
    ):
        (tmp_path / name).write_bytes(rows.tobytes())
    (tmp_path / ("batches.meta.txt" if labels == 1 else "fine_label_names.txt")).write_text("cat\ndog\nelk\n\n")
    data = read(tmp_path)
    same(data, pixels[:3].reshape(3, 3, 32, 32) / np.float32(255), Y[:3])
    same(data, pixels[3:].reshape(1, 3, 32, 32) / np.float32(255), Y[3:4], "test")
    assert data.classes == ("cat", "dog", "elk")


def test_a_saved_data_set_of_hugging_face_is_read(tmp_path):
    import datasets

    features = datasets.Features(
        {"x": datasets.Sequence(datasets.Value("float32")), "label": datasets.ClassLabel(names=["no", "yes", "maybe"])}
    )
    parts = {
        part: datasets.Dataset.from_dict({"x": X[rows].tolist(), "label": Y[rows].tolist()}, features=features)
        for part, rows in {"train": slice(0, 6), "validation": slice(6, 10)}.items()
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
    data = read(tmp_path / "d")
    same(data, X[:6], Y[:6])
    same(data, X[6:], Y[6:], "test")
    assert data.classes == ("no", "yes", "maybe")
    parts["train"].save_to_disk(tmp_path / "one")
    same(read(tmp_path / "one", ALL), X[:6], Y[:6])


class Hostile:
    """Would write a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_that_could_run_code_is_run(tmp_path):
    ran, where = tmp_path / "ran", tmp_path / "d"
    where.mkdir()
    np.savez(where / "d.npz", x=X, y=np.array([Hostile(ran)], dtype=object))
    assert sentence(where / "d.npz") == (
        "'y' in d.npz holds Python objects, which could run code. Save it with a plain type: array.astype('float32')."
    )
    (where / "d.npz").unlink()
    (where / "data_batch_1").write_bytes(pickle.dumps(Hostile(ran)))
    assert sentence(where) == (
        "data_batch_1 is a pickle, which could run code. Open it where you trust it and save its arrays: "
        "np.savez('data.npz', x=..., y=...). CIFAR comes in a binary version too, which can be opened."
    )
    (where / "data_batch_1").rename(where / "d.pkl")
    assert sentence(where).startswith("d.pkl is a pickle, which could run code.")
    assert not ran.exists()


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as member,
    ):
        for _ in range(300):
            member.write(bytes(2**20))
    assert "would unpack to 314,572,800, which is not read. Unpack it yourself" in sentence(tmp_path / "d.npz")


def test_an_array_that_states_more_than_the_file_holds_is_refused(tmp_path):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2)})
    (tmp_path / "d.npy").write_bytes(content.getvalue() + bytes(64))
    assert sentence(tmp_path / "d.npy") == (
        "d.npy states 8,796,093,022,208 bytes of numbers, but the file has 192. "
        "Save the arrays again: np.savez('data.npz', x=..., y=...)."
    )


@pytest.mark.parametrize("name", ["../d.csv", "/d.csv", "a/../../d.csv", "C:\\d.csv"])
def test_an_archive_that_leads_outside_is_refused(tmp_path, name):
    write_zip(tmp_path / "d.zip", {name: HEADED})
    assert sentence(tmp_path / "d.zip") == (
        f"d.zip has a member '{name}' that leads outside of it. Do not trust this archive."
    )


def test_a_link_that_leads_outside_is_refused(tmp_path):
    (tmp_path / "secret.csv").write_text(HEADED)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").symlink_to(tmp_path / "secret.csv")
    assert sentence(tmp_path / "d") == "a.csv in d is a link that leads outside of the folder. Copy the file into it."


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("d.npz", "d.npz is not a zip archive, or it is damaged. Save it again."),
        ("d.zip", "d.zip is not a zip archive, or it is damaged. Save it again."),
        ("d.npy", "d.npy cannot be read as a NumPy array ("),
        ("d.safetensors", "d.safetensors cannot be read as a safetensors file ("),
        ("d.csv", "d.csv cannot be read as a table ("),
        ("train-images-idx3-ubyte", "train-images-idx3-ubyte cannot be read as an IDX file ("),
        ("test_batch.bin", "test_batch.bin cannot be read as a CIFAR file ("),
        ("d.txt", "d.txt holds no data that can be read (but .txt). Choose .npz, .npy, .csv, .safetensors, folders of"),
        ("a/d.png", "The image a/d.png cannot be read ("),
        ("d.png", "The image d.png lies in no folder that names its class. Put the images of each class in a folder."),
    ],
)
def test_what_is_damaged_is_told_in_one_sentence(tmp_path, name, what):
    write_folder(tmp_path / "f", {name: b"\xff\xfe\x00not what it should be\xff"})
    path = tmp_path / "f" if "png" in name else tmp_path / "f" / name
    found = sentence(path)
    assert found.startswith(what) and "\n" not in found and found.endswith(".")


def test_what_is_not_there_is_told(tmp_path):
    assert sentence(tmp_path / "d.npz") == "There is no file or folder d.npz. Check its name."
    (tmp_path / "d").mkdir()
    assert sentence(tmp_path / "d") == "d has no files in it. Choose another one."


def test_what_is_not_found_is_told_with_what_there_is(tmp_path):
    np.savez(tmp_path / "d.npz", a=X, b=Y, c=X)
    assert sentence(tmp_path / "d.npz") == (
        "The inputs and targets were not found in d.npz, which holds 'a' of shape (10, 3) in float32; 'b' of shape "
        "(10,) in int64; 'c' of shape (10, 3) in float32. Choose them by name: inputs=, targets=."
    )
    assert sentence(tmp_path / "d.npz", DataChoices(inputs="z")) == "inputs must be among 'a', 'b', 'c', but it is 'z'."


def test_inputs_and_targets_of_different_lengths_are_told(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y[:9])
    assert sentence(tmp_path / "d.npz") == (
        "Inputs and targets in d.npz do not fit each other: 'x' has 10 rows, but 'y' has 9. "
        "There must be one target for each input."
    )


def test_parts_that_do_not_meet_are_told(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=X, y_test=Y)
    assert sentence(tmp_path / "d.npz") == (
        "'x' and 'y' in d.npz are not of the same part of the data: train, and test. "
        "Put both parts in one folder, and open that."
    )


def test_a_column_of_remarks_is_no_input(tmp_path):
    (tmp_path / "d.csv").write_text("remark,label\n" + "".join(f"remark {k},0\n" for k in range(200)))
    assert sentence(tmp_path / "d.csv") == (
        "Column 'remark' of d.csv is text with 200 different values. Choose inputs= without it."
    )


def test_an_extra_that_is_missing_is_told_with_what_to_install(tmp_path, monkeypatch):
    write_folder(tmp_path / "p", {"a/1.png": picture(0)})
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    assert sentence(tmp_path / "p") == (
        "Images need the package Pillow, which is not installed. Install it: pip install pillow."
    )
    write_folder(tmp_path / "h", {"state.json": b"{}"})
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    assert sentence(tmp_path / "h") == (
        "h was saved by the package datasets, which is not installed. Install it: pip install datasets."
    )


@pytest.mark.parametrize(
    ("choice", "value", "expected"),
    [
        ("split", 1.0, "a share of the rows, 0 or more and less than 1"),
        ("samples", -1, "a number of examples, or 0 for all"),
        ("standardize", "row", "one of none, feature, channel"),
        ("kind", "sound", "one of vectors, images, tokens"),
    ],
)
def test_a_choice_that_is_none_is_told(choice, value, expected):
    with pytest.raises(le.ChoiceError) as caught:
        DataChoices(**{choice: value})
    assert str(caught.value) == f"{choice} must be {expected}, but it is {value!r}."
