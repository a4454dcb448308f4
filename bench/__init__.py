"""Side-by-side benchmarks of Haetae and its peers; `python -m bench` prints the table of
docs/benchmarks.md.
"""
