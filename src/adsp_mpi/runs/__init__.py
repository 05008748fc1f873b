"""The life of a run outside its engine: what it leaves, how it is read again, how it is resumed. Rank 0 only."""
