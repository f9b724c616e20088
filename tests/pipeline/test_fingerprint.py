"""What identifies an input file: its bytes, whoever reads them."""

from __future__ import annotations

import hashlib

import pytest

from pipeline.config import fingerprint as prints
from programde import threads


@pytest.mark.parametrize("cores", [1, 3])
def test_large_files_are_known_by_the_hashes_of_their_pieces(tmp_path, monkeypatch, cores):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prints, "PIECE", 100)
    monkeypatch.setattr(threads, "core_count", lambda: cores)
    raw = bytes(range(256)) * 2
    path = tmp_path / "large"
    path.write_bytes(raw)
    pieces = [raw[begin : begin + 100] for begin in range(0, len(raw), 100)]
    hashes = b"".join(hashlib.blake2b(piece, digest_size=16).digest() for piece in pieces)
    whole = hashlib.blake2b(hashes, digest_size=16).hexdigest()
    assert prints.fingerprint(path) == whole
    path.write_bytes(raw[:-1] + b"?")
    assert prints.fingerprint(path) != whole


def test_small_files_are_known_by_their_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").write_bytes(b"a small file")
    found = prints.fingerprint(tmp_path / "small")
    assert found == hashlib.blake2b(b"a small file", digest_size=16).hexdigest()
