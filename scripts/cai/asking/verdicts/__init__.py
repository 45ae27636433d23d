"""From the text of an answer to a verdict, or to the statement that there is none.

No other place guesses.
"""
