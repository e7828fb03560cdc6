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
	Position uint64   `json:"pos"` // of the event that the token was signed for
}

// forUs reports whether a token was signed for the audience. Those of versions
// before said neither for whom nor where they were signed, and are still signed
// while the issuer is being upgraded; they count as older than any revocation.
func (c claims) forUs(audience string) bool {
	if len(c.Audience) == 0 {
		return c.Position == 0
	}
	return slices.Contains(c.Audience, audience)
}

func (c claims) actor() eventlog.Actor {
	return eventlog.Actor{ID: c.Subject, Roles: c.Roles, TokenPosition: c.Position}
}

// ticketClaims are those of a ticket. What it is good for stands in a claim whose
// name is configuration, and must be set before it is read.
type ticketClaims struct {
	claims
	claim string
	thing string
	until int64 // Unix time at which the access token expires
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *ticketClaims) UnmarshalJSON(data []byte) error {
	var said struct {
		Until int64 `json:"until"`
	}
	var named map[string]json.RawMessage
	for _, into := range []any{&t.claims, &said, &named} {
		if err := json.Unmarshal(data, into); err != nil {
			return err
		}
	}
	t.until = said.Until
	if named[t.claim] == nil {
		return nil // it is good for nothing
	}
	return json.Unmarshal(named[t.claim], &t.thing)
}
