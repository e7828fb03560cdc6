// Package claims is what the tokens say that identity signs. It is part of the
// published language: identity writes them, and each gateway, or anyone else who has
// identity's public keys, reads them.
package claims

import (
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"lonja/events"
)

const (
	// Issuer is who signs access tokens.
	Issuer = "lonja"
	// TicketIssuer is who signs tickets. It is another than Issuer, so that neither is
	// ever taken for the other, not even by a gateway of an older version.
	TicketIssuer = "lonja/stream"
	// Audience is whom access tokens are for: the shop's gateways and services.
	Audience = "lonja"
)

// Access is what an access token says. Its subject is a user's id.
type Access struct {
	jwt.RegisteredClaims
	Roles []string `json:"roles"`
	// Position is the sequence of the session's event that the token was signed
	// for. All that was recorded before it is considered in the token; what
	// revokes it comes later.
	Position uint64 `json:"pos"`
}

// ForShop reports whether a token was signed for the shop. Those of versions before
// said neither for whom nor where they were signed, and are still signed while
// identity is being upgraded; they count as older than any revocation.
func (c Access) ForShop() bool {
	if len(c.Audience) == 0 {
		return c.Position == 0
	}
	return slices.Contains(c.Audience, Audience)
}

// NamesUser reports whether somebody is named who may be a user, with roles that
// there are.
func (c Access) NamesUser() bool {
	return events.IsToken(c.Subject) && events.CheckRoles(c.Roles) == nil
}

// Ticket is what a ticket says, which stands for its holder at one order's stream.
type Ticket struct {
	Access
	Order events.OrderID `json:"order"`
	// Until is when every stream that the ticket opens ends, in seconds since 1970.
	Until int64 `json:"until"`
}
