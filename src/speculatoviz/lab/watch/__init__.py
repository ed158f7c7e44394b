"""Other servers while they run: their statistics by the second, and the requests that pass on the way to them."""
