"""The HTTP API: JSON over HTTP/1.1 for every RPC whose descriptor has a `google.api.http` rule.

    bindings   the rules of the descriptors, as routes
    query      query parameters into a request
    decode     JSON into a message         encode   a message into JSON
    shorthand  payloads as plain JSON      gojson   how Go reads and writes JSON
    app        an HTTP request becomes a `Call` of the same handlers that serve gRPC
    openapi    the same bindings as an OpenAPI document
    server     listening

Nothing here is imported unless the port is on.
"""
