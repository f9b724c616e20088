"""What stages make of their keys."""

from __future__ import annotations

import pytest

from pipeline.stages import arguments


@pytest.mark.parametrize(("ci", "shown"), [("true", False), ("", None)])
def test_continuous_integration_sees_no_bar(monkeypatch, ci, shown):
    monkeypatch.setenv("CI", ci)
    assert arguments.progress() is shown
