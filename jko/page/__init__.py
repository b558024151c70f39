"""A comparison as one HTML page that needs nothing else: table, curves, densities over time, records."""

from jko.page.document import write_page

__all__ = ["write_page"]
