"""The rig's virtual machine, as far as it can be told without booting one: its first file system and its kernel."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import subprocess

import pytest

from tests.rig.machine import initramfs, kernel, qemu
from tests.rig.machine.command import Command, RigUnavailable
from tests.rig.machine.initramfs import Entry, cpio, directory, module_order, program

ELF = b"\x7fELF" + b"\x00kernel" * 1000


def test_a_module_is_loaded_after_what_it_needs_and_once():
    text = (
        "kernel/a.ko: kernel/b.ko.xz kernel/c-d.ko\n"  # as depmod writes it: the last is needed first
        "kernel/b.ko.xz: kernel/c-d.ko\n"
        "kernel/c-d.ko:\n"
        "kernel/other.ko:\n"
    )
    assert module_order(text, ["a", "c_d", "b"]) == ["kernel/c-d.ko", "kernel/b.ko.xz", "kernel/a.ko"]


def test_a_module_that_is_built_in_is_not_loaded():
    assert module_order("kernel/a.ko:\n", ["overlay", "a"]) == ["kernel/a.ko"]


@pytest.mark.skipif(shutil.which("cpio") is None and shutil.which("busybox") is None, reason="needs busybox")
def test_another_program_unpacks_the_archive_as_it_was_meant(tmp_path):
    made = cpio([directory("d"), program("d/run", b"#!/bin/sh\n"), Entry("d/odd", stat.S_IFREG | 0o600, b"12345")])
    tool = ["cpio"] if shutil.which("cpio") else ["busybox", "cpio"]
    subprocess.run([*tool, "-id"], input=made, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "d" / "run").read_bytes() == b"#!/bin/sh\n"
    assert (tmp_path / "d" / "run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "d" / "odd").read_bytes() == b"12345"


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress], ids=["xz", "gzip"])
def test_the_kernel_is_found_among_what_only_looks_like_packed_data(pack):
    decoys = b"boot code \xfd7zXZ\x00 no data \x1f\x8b\x08 none either "
    assert kernel.elf_image(decoys + pack(ELF) + b"trailing bytes") == ELF


def test_a_kernel_packed_in_an_unknown_way_is_said_so():
    with pytest.raises(RigUnavailable, match="packed in a way"):
        kernel.elf_image(b"no kernel at all")


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz"])
def test_a_packed_module_is_unpacked(suffix, tmp_path):
    pack = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress}[suffix]
    path = tmp_path / f"veth.ko{suffix}"
    path.write_bytes(pack(b"module"))
    assert initramfs.unpacked(path) == b"module"


def test_the_command_arrives_with_its_words_its_place_and_its_environment_unchanged(tmp_path):
    folder = tmp_path / "a folder's name"
    folder.mkdir()
    command = Command('printf "%s|" "$PWD" "$ODD" $RIG_SLOW', folder, {"ODD": "it's $HOME"}).slowed(10)
    done = subprocess.run(["sh", "-c", command.script()], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.split("|") == [str(folder), "it's $HOME", "10", ""]


def test_who_says_how_slow_it_is_is_believed(tmp_path):
    assert Command("", tmp_path, {"RIG_SLOW": "3"}).slowed(10).environment["RIG_SLOW"] == "3"


def test_a_comma_in_a_path_does_not_end_qemu_s_option(tmp_path):
    files = qemu.Files(tmp_path / "initrd", tmp_path / "status", tmp_path / "a,b", 7)
    booted = kernel.Kernel("6.1", tmp_path / "vmlinux", tmp_path)
    told = qemu.arguments(booted, files, [tmp_path / "c,d"], qemu.Hardware())
    assert any("path=" in word and "a,,b" in word for word in told)
    assert any("c,,d" in word for word in told)


def test_an_unknown_accelerator_is_refused():
    with pytest.raises(RigUnavailable, match="RIG_ACCEL=magic"):
        qemu.from_environment({"RIG_ACCEL": "magic"})
