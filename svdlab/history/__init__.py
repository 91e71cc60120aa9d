"""What is kept: one SQLite file, one folder a run. The record of runs is also the queue."""
