"""Writes docs/functionals.md, the page of all functionals, from what they say and from docs/matrix.json."""

from pathlib import Path

from jko.catalogue import matrix, pages

HERE = Path(__file__).parent

if __name__ == "__main__":
    text = pages.document(matrix.read(HERE / "matrix.json"))
    (HERE / "functionals.md").write_text(text, encoding="utf-8")
