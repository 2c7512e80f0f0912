"""Thousands of series on many machines: a plan, the processing of one series, and the record of what is done.

Who runs what and when is decided by others: a shell, Slurm or dask.
"""
