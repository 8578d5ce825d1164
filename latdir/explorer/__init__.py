"""The explorer: a bank's directions under sliders, on a page or in a notebook.

Read `session` first: the state and its verbs, messages in and answers out, without a browser.
`hosts` shows it, on a page or in a notebook. Import from the modules.
"""
