"""The explorer: a bank's directions under sliders, on a page or in a notebook.

Read `session` first: the state and its verbs, messages in and answers out, without a browser.
`host` runs a session on two threads; `server` hosts the page, `widget` the notebook. What both
show is drawn by one module, `explorer.js`. Import from the modules.
"""
