// Package httpapi puts an HTTP API in front of services that take commands and
// queries over NATS. A program lists its routes with [JSON] and [Page]; each
// handler turns a request into a command or a query, and the service's reply into
// a response. See the example.
//
// It guarantees:
//
//   - A service never receives a client's headers as they are: each value that is
//     passed on is parsed and checked, or newly made. Input that a route does not
//     know is rejected, not ignored; see package input.
//   - A request with an Idempotency-Key takes effect once: the command's ID is
//     derived from caller, route and key. Without a key, every request is a command
//     of its own.
//   - Every response to a command or query carries a Consistency-Token. A client that
//     sends it back reads at least that state, from any replica.
//   - Every error is a problem (RFC 9457) with a code. Those with a status of 500 or
//     above are logged once, with the trace ID that the client sees.
//   - A command whose service does not answer is deferred and answered 202, on routes
//     that allow it; see [Deferrable]. Its outcome can be read; see [Outcomes].
//   - The memory for request bodies and for large responses is bounded.
//   - /openapi.json and /docs describe exactly the routes that are served.
//
// A request passes through metrics and panic recovery, CORS, the reading of its headers
// (actor, command ID, consistency token, trace), then the route's handler.
//
// The packages below do not import this one and can be used alone: problem
// (errors), input (bodies, forms and query strings), bearer (access tokens),
// clientaddr (client addresses behind proxies) and httpserve (the server). Package
// follow builds on this one: it adds waiting for changes, with Prefer: wait and with
// server-sent events.
package httpapi
