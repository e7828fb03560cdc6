// Package bearer finds out who sends a request, by an access token or by a
// ticket: JSON Web Tokens that one issuer signs with Ed25519 keys.
//
// A token is taken only when the issuer's key signed it with EdDSA, it has not
// expired, it is meant for this audience, and it has not been revoked: a
// revocation holds within a second, for tokens that were taken before as well. Keys
// are asked for when they are needed and kept while the issuer is away.
//
// A ticket is good for one thing and a short time to begin with, in the place of an
// access token where a client can send none, such as a browser's EventSource. It
// has an issuer of its own, so neither is ever taken for the other.
package bearer
