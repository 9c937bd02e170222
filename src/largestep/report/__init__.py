"""The page: figures, claims and settings of every experiment in one offline HTML file."""

from largestep.report.page import Section, write_page

__all__ = ["Section", "write_page"]
