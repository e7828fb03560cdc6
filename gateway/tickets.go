package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/golang-jwt/jwt/v5"

	"lonja/events"
	"lonja/events/claims"
	"lonja/events/query"
	"lonja/kit/errs"
)

// A browser's EventSource sends no Authorization. It is given a URL with a ticket
// instead: signed by identity, good for one order's stream, as the customer who
// asked for it, for a minute to connect. So every gateway can verify it, and the
// access token stands in no URL.

const ticketParam = "ticket"

// ticketLeeway is how much longer than it says a ticket is good, since clocks differ.
const ticketLeeway = 10 * time.Second

func newTicketParser() *jwt.Parser {
	return jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(claims.TicketIssuer),
		jwt.WithExpirationRequired(), jwt.WithLeeway(ticketLeeway))
}

// orTicket takes a ticket in the place of an access token.
func orTicket(_ *gateway, rt *route) {
	rt.ticketed, rt.query = true, []string{ticketParam}
	rt.Security = append(rt.Security, map[string][]string{ticketParam: {}})
	rt.Responses["204"] = &huma.Response{Description: "The order is finished, and its last status was seen: there is nothing to wait for"}
}

// holder is whoever sends the request: by an access token, or by a ticket where
// that is taken and there is no access token.
func (c *call) holder() (holder, error) {
	if c.route.ticketed && len(c.r.Header["Authorization"]) == 0 && c.r.URL.RawQuery != "" {
		if ticket := c.r.URL.Query().Get(ticketParam); ticket != "" {
			return c.tokens.ticket(c.r.Context(), ticket, events.OrderID(c.r.PathValue("id")))
		}
	}
	return c.tokens.bearer(c.r.Context(), c.r.Header)
}

// ticket is the holder of a ticket for an order. It refuses as bearer does.
func (t *tokens) ticket(ctx context.Context, written string, order events.OrderID) (holder, error) {
	var said claims.Ticket
	keyID, err := t.parse(ctx, t.tickets, written, &said)
	switch {
	case errs.Is(err, errs.Unavailable):
		return holder{}, err
	case errors.Is(err, jwt.ErrTokenExpired):
		return holder{}, errs.New(errs.Unauthenticated, "the ticket has expired; ask for another one")
	case err != nil, said.Order != order, !said.NamesUser():
		return holder{}, errs.New(errs.Unauthenticated, "the ticket is not valid for this order")
	}
	who := holder{actorIn(said.Access), time.Unix(said.Until, 0), keyID}
	return who, t.revoked.Check(ctx, who.actor)
}

// streamURL is where an order can be followed without an access token.
type streamURL struct {
	URL       string `json:"url" doc:"For new EventSource(url). It follows this order only, as you"`
	ExpiresIn int64  `json:"expires_in" doc:"Seconds within which it must be opened"`
}

func giveTicket(c *call, in *orderInput) (*answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	// Who may not see the order hears so here already.
	if _, err := c.query(c.r.Context(), query.OrderStatuses{OrderID: in.ID}); err != nil {
		return nil, err
	}
	body, err := c.query(c.r.Context(), query.StreamTicket{OrderID: in.ID, Until: c.expires.Unix()})
	if err != nil {
		return nil, err
	}
	var t query.Ticket
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, err
	}
	a, err := answeringJSON(streamURL{c.origin() + "/api/orders/" + string(in.ID) + "/stream?" + ticketParam + "=" + url.QueryEscape(t.Ticket), t.ExpiresIn})
	if err == nil {
		a.Status = http.StatusCreated
	}
	return a, err
}
