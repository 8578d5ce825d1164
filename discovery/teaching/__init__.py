"""A direction from answers: what was asked, what was answered, and what the answers say so far.

Read `answers` first, then `lesson`, which asks and is answered; `leading` has what the images'
features say of the directions that matter. Import the public names from `discovery`.
"""
