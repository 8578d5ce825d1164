"""The built-in face classifier: expression, landmarks, age and gender.

Read `classifier` first; `nets` are its networks, `inference` runs them fast on a CPU.
"""
