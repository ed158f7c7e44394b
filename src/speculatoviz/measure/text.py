"""Ordinary text to measure with."""

from __future__ import annotations

PROMPT = "write a function that merges two sorted lists"

SENTENCE = "the quick brown fox jumps over the lazy dog"

# Long enough for a context of 512 tokens in any usual vocabulary.
PASSAGE = """\
A cache keeps the result of a computation so that it can be used again. Whether that pays depends on three numbers:
how often the same result is asked for, how long the computation takes, and what it costs to keep the result. A
library at a university is a good example. The books that students need every week stand on open shelves near the
entrance. Books that are asked for once a year are in the basement, and a clerk brings them within an hour. The
rarest volumes are kept in another town, and a van fetches them on Tuesdays and Fridays. Nobody planned this order
in advance. It grew because the librarians moved a book closer each time it was asked for, and moved the others back
when a shelf was full.

Processors work in the same way. The registers hold a few dozen numbers, the first level of the cache some
thousands, the second level a million, and the main memory as much as one cares to buy. Each step down is larger and
slower than the one before. A program that walks through memory in order is fast, since the hardware guesses what
comes next and fetches it in time. A program that jumps from place to place waits at every step.

def merge(left, right):
    \"\"\"Merge two sorted lists into one sorted list.\"\"\"
    result = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    result.extend(left[i:])
    result.extend(right[j:])
    return result

The function above reads both lists from the front and always takes the smaller head. It visits every element once,
so its time grows with the sum of the two lengths. If one list is much shorter than the other, a binary search for
each of its elements can be faster, because most of the long list is then never looked at. Which of the two is
better is not a matter of taste: measure both with lists of the size that you have, on the machine that will run the
program, and take the median of several runs. A single run tells little, for the first one pays for loading the code
and the data.

In the spring of that year the river rose higher than anyone in the village could remember. The mill stood in the
water up to the second window, and the miller, who had laughed at the warnings, sat on the roof with his two cats
and a sack of flour. On the third day a boat came from the other bank. The ferryman asked for nothing, took the cats
first, then the flour, and last of all the miller, who had stopped laughing. When the water fell again, they found a
line of mud on every wall, and above it, in the schoolroom, the date that the teacher had written on the day before
the flood.
"""
