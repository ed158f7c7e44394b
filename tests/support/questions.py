"""Short questions of many kinds: code, mathematics, translation, summaries, facts, roles, stories, extraction."""

from __future__ import annotations

QUESTIONS = (
    "Write a Python function that merges two sorted lists.",
    "Summarise in two sentences why the sky is blue.",
    "Translate to German: The train to the coast leaves at seven.",
    "What is 17 times 23? Show the steps.",
    "Write a SQL query that counts the orders of each customer.",
    "Name three differences between TCP and UDP.",
    "You are a museum guide. Welcome a school class in three sentences.",
    "Continue the story: The lighthouse had been dark for a week when",
    "List the planets from the sun outwards, one on each line.",
    "Explain recursion to a child.",
    "A box holds 12 red and 8 blue balls. What is the probability of drawing a red one?",
    "Correct the sentence: He go to school every days.",
    "Turn into JSON with the keys name and age: Anna is 31, Ben is 27.",
    "What does HTTP status 404 mean?",
    "Write a haiku about autumn rain.",
    "Convert 98.6 degrees Fahrenheit to Celsius.",
    "Write a shell command that finds all files larger than 10 MB.",
    "Which is larger, 9/16 or 5/9? Explain.",
    "Summarise: Bees dance to tell others where flowers are. The angle shows the direction, the length the distance.",
    "Write a polite email that moves a meeting from Monday to Tuesday.",
    "Repeat the list in reverse order: red, green, blue, yellow.",
    "Translate to French: Where is the nearest pharmacy?",
    "Write a JavaScript function that checks whether a string is a palindrome.",
    "Who wrote Faust, and when?",
    "If a train covers 150 km in 90 minutes, what is its speed in km/h?",
    "Extract the dates: The project began on 3 May 2021 and ended on 9 June 2022.",
    "Describe the taste of a lemon without the word sour.",
    "Write a regular expression for a five-digit number.",
    "Give three arguments for and three against working from home.",
    "Solve for x: 3x + 7 = 25.",
    "Write a class Stack in Python with push and pop.",
    "Tell a joke about computers.",
)


def questions(count: int) -> list[str]:
    """`count` of them, spread over the list. Raises ValueError for more than there are."""
    if count > len(QUESTIONS):
        raise ValueError(f"expected at most {len(QUESTIONS)} questions, got {count}")
    return list(QUESTIONS[:: len(QUESTIONS) // count][:count])
