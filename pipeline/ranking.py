"""Placeholder."""


def rank(root, tracking, parent=None):
    return root / "reports/sweep/index.html"
