"""The web role: the door for requests, its browser middlewares, and the pages.

Enters: HTTP requests. Leaves: pages without data of their own; API requests to their views.
Transaction: none here. Services and selectors bring theirs.
Invariants: only complete requests get a thread; a process serves its area alone; pages are
limited by network; the CSP is strict.
Healed by: the browser, which asks again; the supervisor restarts the process.
"""
