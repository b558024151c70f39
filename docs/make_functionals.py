"""Writes docs/functionals.md, the page of all functionals, from what they and the engines say."""

from pathlib import Path

from jko.catalogue import document

if __name__ == "__main__":
    Path(__file__).with_name("functionals.md").write_text(document(), encoding="utf-8")
