package identity

import (
	"context"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lonja/events"
	"lonja/events/claims"
	"lonja/events/query"
	"lonja/kit/eventlog"
)

// ticketLife is how long a ticket opens a stream. It stands in a URL, which more
// hands touch than a header, so it is short.
const ticketLife = time.Minute

// writeTicket makes a ticket for whoever asks. It is signed like an access token,
// so every gateway can verify it, and nobody needs to remember it.
func (i *identity) writeTicket(_ context.Context, q query.StreamTicket, who eventlog.Actor) (any, error) {
	if err := events.FirstOf(loggedIn(who), events.Token("order_id", q.OrderID), events.CheckRoles(who.Roles)); err != nil {
		return nil, err
	}
	now := time.Now()
	ticket, err := i.realm.sign(claims.Ticket{
		Access: claims.Access{Roles: who.Roles, Position: who.TokenPosition, RegisteredClaims: jwt.RegisteredClaims{
			Issuer: claims.TicketIssuer, Subject: who.ID, ExpiresAt: jwt.NewNumericDate(now.Add(ticketLife)),
		}},
		Order: q.OrderID,
		Until: min(q.Until, now.Add(accessLife).Unix()),
	})
	return query.Ticket{Ticket: ticket, ExpiresIn: int64(ticketLife / time.Second)}, err
}
