"""What comes from others is data: an archive or a checkpoint never runs anything."""

import contextlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conversion.support import SCRIPTS, Refused, remake

from cai.conversion.checkpoint_index import ALLOWED, METADATA
from cai.conversion.pickles import BadPickle, read_pickle
from cai.conversion.stored import check_archive
from cai.core.errors import UserError

MARKER = "this must not be made"


def named(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def value(plain: object) -> bytes:
    """The steps that leave a plain value on the stack."""
    return pickle.dumps(plain, protocol=2)[2:-1]


def calling(module: str, name: str, argument: bytes) -> bytes:
    return named(module, name) + argument + pickle.TUPLE1 + pickle.REDUCE


class System:
    def __reduce__(self):
        return os.system, (f"touch '{MARKER}'",)


# `dataclass` puts the names of fields into code that it executes: this one is a parameter whose
# annotation is worked out. The field is one that nothing else is made of.
FIELD = f"x:__import__('pathlib').Path({MARKER!r}).touch()"
BARE = dict.fromkeys(["init", "repr", "compare", "hash"], False)
CLASS = named(METADATA, "BytesStorageMetadata")
BY_DATACLASS = (
    CLASS
    + pickle.NONE
    + pickle.EMPTY_DICT
    + value("__annotations__")
    + value({FIELD: 1})
    + pickle.SETITEM
    + value(FIELD)
    + named(METADATA, "field")
    + pickle.EMPTY_TUPLE
    + pickle.REDUCE
    + value((None, BARE))
    + pickle.BUILD
    + pickle.SETITEM
    + pickle.TUPLE2
    + pickle.BUILD
    + pickle.POP
    + calling(METADATA, "dataclass", CLASS)
)
ATTACKS: dict[str, bytes] = {
    "a command": pickle.dumps(System())[2:-1],
    "dataclass and field that torch imports": BY_DATACLASS,
    "dataclass that torch imports": calling(METADATA, "dataclass", CLASS),
    "field that torch imports": calling(METADATA, "field", value("x")),
    "an attribute of an allowed class": calling(METADATA, "Metadata.__init__", value("x")),
    "the state of a class": named(METADATA, "Metadata") + value({"x": 1}) + pickle.BUILD,
    "a call of what was made": calling(METADATA, "Metadata", value(1)) + value(()) + pickle.REDUCE,
    "the state of a list": pickle.EMPTY_LIST + value({"x": 1}) + pickle.BUILD,
    "an instance by name": pickle.MARK + b"ios\nsystem\n",
    "a name of two parts": named("torch", "serialization.os.system"),
    "a dtype that is none": named("torch", "load"),
    "eval": calling("builtins", "eval", value("1")),
    "what an extension code stands for": pickle.EXT1 + b"\x01",
    "a list in itself": b"]q\x00h\x00a",
    "depth": b"(" * 10_000 + pickle.EMPTY_TUPLE + pickle.TUPLE * 10_000,
    "a memo of four billion places": pickle.NONE + pickle.LONG_BINPUT + b"\xff\xff\xff\xff" * 2,
    "a text longer than the file": pickle.BINUNICODE8 + b"\xff" * 7 + b"\x7f",
    "nothing on the stack": pickle.REDUCE,
    "cut short": b"",
}
PROTOCOL = b"\x80\x04"


def program(attack: str) -> bytes:
    return PROTOCOL + ATTACKS[attack] + (b"" if attack == "cut short" else pickle.STOP)


def saved(content: bytes, comment: bytes = b"") -> bytes:
    """A pickle as ``torch.save`` wraps it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = comment
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
    return stream.getvalue()


def in_metadata(attack: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, content: attack if name.endswith("/.metadata") else content


def in_common(attack: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, content: saved(attack) if name.endswith("/common.pt") else content


def in_state(attack: bytes) -> Callable[[str, bytes], bytes]:
    """In the place of the last state, of the same length: NeMo unpickles it, we do not read it."""

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(".distcp"):
            return content
        start = content.rindex(b"PK\x03\x04", 0, content.rindex(b"\x80\x02]q\x00Na."))
        free = len(content) - start - len(saved(attack))
        return content[:start] + saved(attack, b" " * free)

    return change


def test_the_attack_works_on_a_free_reader(tmp_path, monkeypatch):
    """Else the tests below would prove nothing."""
    monkeypatch.chdir(tmp_path)
    free = BY_DATACLASS.replace(METADATA.encode(), b"free_reader")
    module = "from dataclasses import dataclass, field\nclass BytesStorageMetadata:\n    pass\n"
    (tmp_path / "free_reader.py").write_text(module)
    run = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    subprocess.run(
        [sys.executable, "-c", run],
        input=PROTOCOL + free + pickle.STOP,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert (tmp_path / MARKER).exists()


@pytest.mark.parametrize("place", [in_metadata, in_common])
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_runs(archive, tmp_path, monkeypatch, attack, place):
    monkeypatch.chdir(tmp_path)
    evil = remake(archive, tmp_path / "evil.nemo", place(program(attack)))
    with pytest.raises(UserError) as refused:
        check_archive(evil)
    assert str(evil) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["evil.nemo"]


@pytest.mark.parametrize("place", [in_metadata, in_common, in_state])
def test_no_reader_runs_it(call, archive, tmp_path, place):
    """Neither the converter nor what exports a checkpoint with torch at hand."""
    attack = program("dataclass and field that torch imports")
    evil = remake(archive, tmp_path / "evil.nemo", place(attack))
    out = tmp_path / "out"
    for function, *targets in (("nemo_to_hf", out), ("layout_of",), ("weights_digest",)):
        with pytest.raises(Refused, match=r"unexpected torch\.distributed"):
            call(function, evil, *targets)
    folder = tmp_path / "checkpoint"
    with tarfile.open(evil) as tar:
        tar.extractall(folder, filter="data")
    if place is not in_common:  # of a checkpoint's folder it is never read
        with pytest.raises(Refused, match=r"unexpected torch\.distributed"):
            call("checkpoint_to_nemo", folder / "model_weights", archive, tmp_path / "out.nemo")
        assert not (tmp_path / "out.nemo").exists()
    assert not list(tmp_path.glob(MARKER))


def test_a_genuine_archive_is_accepted(archive):
    run = subprocess.run(
        [sys.executable, SCRIPTS / "check_archive.py", archive], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (0, f"{archive}: holds nothing that would be run\n")


def add(name: str, **facts: object) -> Callable[[tarfile.TarFile], None]:
    def change(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        for field, fact in facts.items():
            setattr(info, field, fact)
        tar.addfile(info)

    return change


MEMBERS = {
    "an absolute path": (add("/tmp/x"), "outside of its folder"),
    "a path upwards": (add("model_weights/../../x"), "outside of its folder"),
    "a link out": (add("x", type=tarfile.SYMTYPE, linkname="/etc"), "a link or a device"),
    "a hard link": (add("x", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "a link or a device"),
    "a device": (add("x", type=tarfile.CHRTYPE), "a link or a device"),
    "a pipe": (add("x", type=tarfile.FIFOTYPE), "a link or a device"),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_a_member_that_leads_out_is_refused(archive, tmp_path, case):
    change, message = MEMBERS[case]
    evil = remake(archive, tmp_path / "evil.nemo", lambda name, content: content)
    with tarfile.open(evil, "a") as tar:
        change(tar)
    with pytest.raises(UserError, match=message):
        check_archive(evil)


def test_a_class_that_is_not_nemos_is_refused(archive, tmp_path):
    def change(name: str, content: bytes) -> bytes:
        return content + b"x: {_target_: os.system}\n" if "model_config" in name else content

    evil = remake(archive, tmp_path / "evil.nemo", change)
    with pytest.raises(UserError, match=r"_target_: found 'os.system'; accepted: .*NeMo"):
        check_archive(evil)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(plain, st.sampled_from([2, 4]))
def test_plain_values_are_read_as_they_are(thing, protocol):
    try:
        found = read_pickle(pickle.dumps(thing, protocol=protocol), ())
    except BadPickle as error:
        assert "LONG4" in str(error)
    else:
        assert found == thing


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    with contextlib.suppress(BadPickle):
        read_pickle(PROTOCOL + content, ALLOWED)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_damaged_pickle_is_read_or_refused(at, noise):
    content = PROTOCOL + BY_DATACLASS + pickle.STOP
    with contextlib.suppress(BadPickle):
        read_pickle(content[:at] + noise + content[at + len(noise) :], ALLOWED)


def test_chat_looks_through_a_model_before_nemo_gets_it(archive, tmp_path):
    evil = remake(archive, tmp_path / "evil.nemo", in_metadata(program("a command")))
    command = [sys.executable, "scripts/chat.py", evil, "Hi", "--configfile", "config/demo.yaml"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPTS.parent)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"error: {evil}: .metadata cannot be read: unexpected posix.system\n"
