// Package bearer authenticates HTTP requests by access tokens and tickets: JSON Web
// Tokens that one issuer signs with Ed25519 keys.
//
// A token is valid only if a key of the issuer signed it with EdDSA, it has not expired,
// its audience is the configured one, and it has not been revoked. A revocation takes
// effect within a second, also for tokens that were verified before. The issuer's keys
// are fetched when they are first needed, when a token has a key that is not known yet, and
// every few minutes. A key that the issuer has withdrawn is forgotten within ten minutes.
// While the issuer is unavailable, its keys are kept.
//
// A ticket replaces an access token where a client cannot send a header, such as a
// browser's EventSource. It is a JWT in the URL that is valid for one resource, and only
// for a short time. Its issuer claim differs from that of access tokens, so neither is
// ever accepted as the other.
//
// Create one [Verifier] with [New] and use it for all requests. It is safe for concurrent
// use.
package bearer
