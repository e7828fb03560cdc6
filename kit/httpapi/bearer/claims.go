package bearer

import (
	"encoding/json"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"lonja/kit/eventlog"
)

type claims struct {
	jwt.RegisteredClaims
	Roles    []string `json:"roles"`
	Position uint64   `json:"pos"` // what the token reflects: everything up to this sequence
	Session  string   `json:"sid"` // the session that the token was signed for, "" when the issuer says none
}

// hasAudience reports whether a token was signed for the audience. Earlier versions of the
// issuer wrote neither audience nor position, and still sign tokens during an upgrade.
// Such tokens are accepted, and count as older than any revocation.
func (c claims) hasAudience(audience string) bool {
	if len(c.Audience) == 0 {
		return c.Position == 0
	}
	return slices.Contains(c.Audience, audience)
}

func (c claims) actor() eventlog.Actor {
	return eventlog.Actor{ID: c.Subject, Roles: c.Roles, TokenPosition: c.Position, Session: c.Session}
}

// ticketClaims are the claims of a ticket. The name of the claim with the resource is
// configuration; set claim before parsing.
type ticketClaims struct {
	claims
	claim         string
	resource      string
	accessExpires int64 // Unix time at which the access token expires
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *ticketClaims) UnmarshalJSON(data []byte) error {
	var ticket struct {
		Until int64 `json:"until"`
	}
	var all map[string]json.RawMessage
	for _, into := range []any{&t.claims, &ticket, &all} {
		if err := json.Unmarshal(data, into); err != nil {
			return err
		}
	}
	t.accessExpires = ticket.Until
	if all[t.claim] == nil {
		return nil // valid for no resource
	}
	return json.Unmarshal(all[t.claim], &t.resource)
}
