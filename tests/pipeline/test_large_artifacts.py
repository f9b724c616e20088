"""What MLflow gets of a run: small files, and of a large one where it lies."""

from __future__ import annotations

import pipeline.sweep.record as record


class Client:
    """Notes what it is asked to keep."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str | None]] = []
        self.tags: dict[str, str] = {}

    def log_artifact(self, run, path, place=None):
        self.kept.append((path.rpartition("/")[2], place))

    def log_artifacts(self, run, path, place=None):
        self.kept.append((path.rpartition("/")[2], place))

    def set_tag(self, run, key, value):
        self.tags[key] = value


def test_a_large_file_stays_where_it_is(tmp_path, monkeypatch):
    reports = tmp_path / "reports"
    (reports / "plots").mkdir(parents=True)
    (reports / "results.parquet").write_bytes(b"x" * 900)
    (reports / "index.html").write_bytes(b"x" * 50)
    (reports / "plots" / "qq.svg").write_bytes(b"x" * 50)
    client = Client()
    record.keep(client, "run", reports)
    assert client.kept == [("reports", "reports")]
    assert not client.tags
    monkeypatch.setattr(record, "MOST_BYTES", 500)
    client = Client()
    record.keep(client, "run", reports)
    record.keep(client, "run", tmp_path / "absent")
    assert client.kept == [("index.html", "reports"), ("plots", "reports/plots")]
    assert client.tags == {
        "programde.large.results.parquet": str(reports / "results.parquet"),
    }
