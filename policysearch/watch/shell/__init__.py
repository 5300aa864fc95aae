"""The shell of all pages: a server of HTTP and WebSockets with one token per role, which sends nothing anywhere.

    address   where it listens, and which names of it are its own
    roles     who may do what: a token per role, which becomes a cookie
    gate      what every request has to pass, and the headers of every answer
    live      a WebSocket per page, on which news go down
    app       the pages, files and routes
    serve     the process

No page has markup that is made here: pages are files, and all that changes goes down the WebSocket as JSON and is put
into the page as text. Only light modules are imported (no NumPy).
"""
