"""A direction from answers: what was asked, what was answered, and what the answers say so far.

Read `kinds` and `answers` first, then `lesson`, which asks and is answered; `leading` has what
features of images say of the directions that matter. Import the public names from `discovery`.
"""
