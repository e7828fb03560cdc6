// Package client is the Go client of lonja's HTTP API, for storefronts, back
// offices and scripts. It needs only the standard library.
//
//	shop, err := bus.NewClient("https://shop.example")
//	ana := shop.Session()
//	_, err = ana.LogIn(ctx, "ana@example.com", "correct horse")
//	order, err := ana.PlaceOrder(ctx, bus.NewOrder{Items: lines}, bus.Wait(10*time.Second))
//
// A [Client] speaks for one user, or for nobody. [Client.Session] makes another
// one for the same shop; a storefront has one for each customer that it serves.
// All methods may be called from several goroutines.
//
// # What the client does by itself
//
//   - Retries. A request that got no answer, or 429, 502, 503 or 504, is sent
//     again: a few times, with growing pauses and jitter, and not before
//     Retry-After. Only what may take effect twice is not, see
//     [Client.RetryDeadLetter].
//   - Idempotency keys. Each request that records something new carries an
//     Idempotency-Key, the same one in every retry, so it takes effect once.
//     [Key] chooses it, for a caller that wants to try again later.
//   - Read your writes. Every answer carries a consistency token, and every
//     request what this client has seen, so a user sees what they did whichever
//     replica answers. [Client.Observe] shares that between clients.
//   - Sessions. Access tokens are renewed shortly before they expire, and when
//     the shop turns one down.
//   - Deferred commands. When a service is away the shop answers 202 and does
//     the work later. The client waits for the outcome until the context ends, two
//     minutes when that has no deadline; see [Deferred].
//   - Streams. [Client.FollowOrder] reconnects and resumes where it was.
//
// # Errors
//
// What the shop refuses is a [*Problem], which names a [Code] and the field that
// is wrong:
//
//	var p *bus.Problem
//	switch {
//	case errors.Is(err, bus.NotFound):
//	case errors.As(err, &p):
//		log.Print(p.Status, p.Code, p.Field, p.Detail)
//	}
//
// # Written by hand, and checked
//
// oapi-codegen reads the shop's OpenAPI 3.1 document and makes 11,400 lines of it,
// with names such as ReadWhatBecameOfACommandThatWasLeftForLaterParams, ids and
// headers to pass by hand, and a dependency. Keys, tokens, retries, 202 and streams
// would still be to write. This package has a sixth of the lines. A test drives every
// method against the document instead: path, headers, query, the fields of requests
// and answers, statuses and enums must agree, and a route without a method fails it.
package client
