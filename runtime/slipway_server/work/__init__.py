"""One request from its slot to its answer: the slots and the line, threads, batches, time limits."""
