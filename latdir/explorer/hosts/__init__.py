"""Where the explorer is shown: a page behind a local server, or a widget in a notebook.

`host` runs a session on two threads; `server` hosts the page, `widget` the notebook. What both
show is drawn by one module (`module`), written in `explorer.js` and `teach.js`.
"""
