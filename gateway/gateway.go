// Package gateway is the shop's HTTP API. It turns requests into commands and queries, and
// the services' replies into responses. It stores nothing and contains no business rules:
// the services decide.
//
// routes.go lists the routes; each resource has a file. What any event-driven service needs
// over HTTP is in package httpapi. Create the handler with [New] and serve it with
// httpapi.Serve.
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

// New returns the gateway's handler; httpapi.Serve serves it. The error names the setting
// that is missing or not valid.
func New(c Config) (http.Handler, error) {
	if c.Client == nil || c.Revoked == nil || c.DeadLetters == nil || c.Streams == nil {
		return nil, errors.New("gateway: Client, Revoked, DeadLetters and Streams are required")
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
		AboutTickets: "Part of the URL that /api/orders/{id}/stream/tickets returns",
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

// about returns the API's description in its OpenAPI document.
func (c Config) about() string {
	about := "A shop: catalogue, stock, orders, payments and accounts.\n\n" +
		"Money is in minor units: 295 GBP is £2.95. Every answer to a write carries a `Consistency-Token`; " +
		"sent back, it makes every replica show that write. Every error is a problem (RFC 9457) with a `code`."
	if c.AsyncAPI != nil {
		about += "\n\nBehind this API, services record events and answer commands and queries on NATS: [browse them](" + eventsPage + "), or download [the AsyncAPI document](" + asyncAPIPath + ")."
	}
	return about
}

// verifier verifies the access tokens and tickets that the service identity signs.
func (c Config) verifier() *bearer.Verifier {
	return bearer.New(bearer.Config{
		Revoked: c.Revoked, Issuer: claims.Issuer, Audience: claims.Audience, TicketIssuer: claims.TicketIssuer, TicketResource: "order",
		Accepts: func(id string, roles []string) bool { return events.IsToken(id) && events.CheckRoles(roles) == nil },
		FetchKeys: func(ctx context.Context) ([]byte, error) { // without an actor
			ctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			return c.Client.Query(ctx, query.Keys{}, eventlog.Envelope{})
		},
	})
}
