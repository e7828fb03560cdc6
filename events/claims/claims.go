// Package claims holds the claims of the tokens that identity signs. Identity writes them; a
// gateway, or any program that has identity's public keys, reads them after it has verified
// the signature, the issuer and the expiry.
package claims

import (
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"lonja/events"
)

const (
	// Issuer is the issuer of access tokens.
	Issuer = "lonja"
	// TicketIssuer is the issuer of tickets. It differs from Issuer, so that no gateway,
	// not even of an older version, takes a ticket for an access token.
	TicketIssuer = "lonja/stream"
	// Audience is the audience of access tokens: the shop's gateways and services.
	Audience = "lonja"
)

// Access holds the claims of an access token. Its subject is a user's id.
type Access struct {
	jwt.RegisteredClaims
	Roles []string `json:"roles"`
	// Position is a sequence on IDENTITY. The token reflects everything recorded up to there; what
	// revokes it comes later.
	Position uint64 `json:"pos"`
	// Session is the session that the token was signed for: when it ends, the token is revoked.
	// Tokens of earlier versions do not say it.
	Session events.SessionID `json:"sid,omitempty"`
}

// ForShop reports whether a token was signed for the shop. Tokens of earlier versions have
// neither audience nor position, and are still signed while identity is being upgraded; they
// are accepted, and count as older than any revocation.
func (c Access) ForShop() bool {
	if len(c.Audience) == 0 {
		return c.Position == 0
	}
	return slices.Contains(c.Audience, Audience)
}

// NamesUser reports whether the subject can be a user's id, and all roles are known.
func (c Access) NamesUser() bool {
	return events.IsToken(c.Subject) && events.CheckRoles(c.Roles) == nil
}

// Ticket holds the claims of a ticket, which replaces its holder's access token at one order's
// stream.
type Ticket struct {
	Access
	Order events.OrderID `json:"order"`
	// Until is when every stream that the ticket opened ends, in seconds since 1970.
	Until int64 `json:"until"`
}
