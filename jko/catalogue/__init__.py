"""What is known of every functional of the registry."""

from jko.catalogue.pages import Answer, answers, asked, document, engines, example, matrix, names, page

__all__ = ["Answer", "answers", "asked", "document", "engines", "example", "matrix", "names", "page"]
