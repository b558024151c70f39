"""The entropic JKO step by scaling."""
