// Package client is the Go client of lonja's HTTP API, for storefronts, back
// offices and scripts. It needs only the standard library.
//
//	shop, err := client.New("https://shop.example")
//	ana := shop.Session()
//	_, err = ana.LogIn(ctx, "ana@example.com", "correct horse")
//	order, err := ana.PlaceOrder(ctx, client.NewOrder{Items: lines}, client.Wait(10*time.Second))
//
// A [Client] acts for one user, or anonymously. [Client.Session] makes another one for the
// same shop; a storefront uses one for each of its customers. All methods are safe for
// concurrent use.
//
// # What the client does by itself
//
//   - Retries. A request without a response, or with 429, 502, 503 or 504, is repeated a
//     few times, with growing pauses and jitter, and not before Retry-After. A request
//     that could take effect twice is not repeated, see [Client.RetryDeadLetter].
//   - Idempotency keys. Each request that creates something carries an
//     Idempotency-Key, the same in every retry, so it takes effect once. With [Key], a
//     caller chooses the key and can repeat the call later.
//   - Read your writes. Every response carries a consistency token, and every request
//     carries the tokens that the client has received, so users read their own writes
//     from any replica. [Client.Observe] shares tokens between clients.
//   - Sessions. Access tokens are renewed shortly before they expire, and when the shop
//     rejects one.
//   - Deferred commands. When a service is unavailable, the shop answers 202 and handles
//     the command later. The client waits for the outcome until the context ends, or for
//     two minutes if it has no deadline; see [Deferred].
//   - Streams. [Client.FollowOrder] reconnects, and resumes after the last event.
//
// # Errors
//
// An error response is a [*Problem], which has a [Code] and names the invalid field:
//
//	var p *client.Problem
//	switch {
//	case errors.Is(err, client.NotFound):
//	case errors.As(err, &p):
//		log.Print(p.Status, p.Code, p.Field, p.Detail)
//	}
//
// # Written by hand, and checked
//
// oapi-codegen generates 11,400 lines from the shop's OpenAPI 3.1 document. They have
// names such as ReadWhatBecameOfACommandThatWasLeftForLaterParams, take IDs and headers as
// arguments, and add a dependency. Keys, tokens, retries, 202 and streams would still have
// to be written. This package has a sixth of the lines. Instead, a test calls every method
// and compares it with the document: path, headers, query, the fields of requests and
// responses, statuses and enums must agree, and every route must have a method.
package client
