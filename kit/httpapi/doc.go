// Package httpapi puts services that speak over NATS behind an HTTP API. A
// program lists its routes; each turns a request into a command or a query and
// the service's answer into a response.
//
// What it guarantees:
//
//   - Nothing of a request's headers goes on to a service as it came: what goes on
//     was checked or made anew. Nothing that a client sends is ignored either; see
//     package input.
//   - A request that carries an Idempotency-Key takes effect once: the command's
//     id is derived from the caller, the route and the key. Without a key each
//     request is its own.
//   - Every answer carries a Consistency-Token. A client that sends it back is
//     shown no less, by any replica.
//   - Every error is a problem (RFC 9457) with a code. One that is our fault is
//     logged once, with the trace that the client is shown.
//   - A command whose service gives no answer is left for later and answered 202,
//     on routes that allow it; see Deferrable. Its outcome can be read.
//   - Memory is bounded: of bodies, and of large answers.
//   - The description, /openapi.json and /docs, is made from the same list.
//
// A request passes through metrics and recovery from panics, CORS, then begin (who
// asks, with which token, key and trace), its handler, and one command or query.
//
// The packages below it stand alone: problem (errors), input (bodies, forms and
// query strings), bearer (access tokens) and httpserve (the server). Package follow
// adds waiting for changes, by Prefer: wait and by server-sent events.
package httpapi
