"""Pages for operators, made on the server: no script, nothing from any other host.

`site` has the paths, `guard` who may and from where, `templating` how a page is made and what goes
with it; the others say what is on which page. What is shown is asked of services, as the routes of
the API do.
"""
