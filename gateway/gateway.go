// Package gateway is the shop's HTTP side: it turns requests into commands and
// queries, and their answers into responses. It holds no data and knows no
// rule of the shop; whatever may be refused is refused by a service.
//
// Routes are listed in routes.go; each resource has a file. What any service
// needs over HTTP is in package httpapi.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/events"
	"lonja/events/claims"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/bearer"
)

// New is the gateway as a handler; see httpapi.Serve for running it.
func New(c Config) (http.Handler, error) {
	if c.Client == nil || c.Revoked == nil || c.Letters == nil || c.Streams == nil {
		return nil, errors.New("gateway: Client, Revoked, Letters and Streams are required")
	}
	handler, err := c.handler()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return handler, nil
}

func (c Config) handler() (http.Handler, error) {
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.Registry = cmp.Or(c.Registry, prometheus.NewRegistry())
	g := &gateway{Config: c, tokens: c.verifier()}
	api, err := httpapi.New(httpapi.Config{
		Client: c.Client, Name: name, Tokens: g.tokens,
		Title: "lonja", Version: "1.0.0", About: c.about(),
		AboutTokens:  "The access_token of /api/auth/login",
		AboutTickets: "Part of the URL that /api/orders/{id}/stream/tickets gives",
		PublicURL:    c.PublicURL, Local: c.Local, TrustedProxies: c.TrustedProxies, CORSOrigins: c.CORSOrigins,
		Logger: c.Logger, Registry: c.Registry,
	})
	if err != nil {
		return nil, err
	}
	if g.orders, err = orderChanges(c); err != nil {
		return nil, err
	}
	g.routes(api)
	if err := mountAsyncAPI(api, c.AsyncAPI); err != nil {
		return nil, err
	}
	return api.Handler()
}

// about introduces the API to its readers.
func (c Config) about() string {
	about := "A shop: catalogue, stock, orders, payments and accounts.\n\n" +
		"Money is in minor units: 295 GBP is £2.95. Every answer to a write carries a `Consistency-Token`; " +
		"sent back, it makes any replica show that write. What is refused is a problem (RFC 9457) with a `code`."
	if c.AsyncAPI != nil {
		about += "\n\nBehind this API, services record events and answer commands and queries on NATS: [read about them](" + eventsPage + "), or take [the AsyncAPI document](" + asyncAPIPath + ")."
	}
	return about
}

// verifier takes what identity signs.
func (c Config) verifier() *bearer.Verifier {
	return bearer.New(bearer.Config{
		Revoked: c.Revoked, Issuer: claims.Issuer, Audience: claims.Audience, TicketIssuer: claims.TicketIssuer, TicketFor: "order",
		Accepts: func(id string, roles []string) bool { return events.IsToken(id) && events.CheckRoles(roles) == nil },
		Keys: func(ctx context.Context) ([]byte, error) { // on nobody's behalf
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return c.Client.Query(ctx, query.Keys{}, eventlog.Envelope{})
		},
	})
}
