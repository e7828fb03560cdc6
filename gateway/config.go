package gateway

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/events"
	"lonja/kit/asyncapi"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/httpapi/bearer"
	"lonja/kit/httpapi/follow"
	"lonja/kit/revocation"
	"lonja/kit/streams"
)

// Config configures the gateway. Client, Revoked, DeadLetters, Streams and PublicURL are
// required.
type Config struct {
	// Client sends the commands and queries.
	Client *bus.Client
	// Revoked lists the revoked access tokens.
	Revoked *revocation.List
	// PublicURL is the shop's origin as customers see it, such as
	// "https://shop.example".
	PublicURL string
	// Local uses the request's Host instead of PublicURL when that is a loopback address:
	// for a shop that only this machine uses.
	Local bool
	// ShopName and ShopAddress are on receipts. Lines of the address are separated by commas or
	// line ends. Without a name, it is the host of PublicURL.
	ShopName, ShopAddress string
	// Sandbox serves the pages of the sandbox payment provider, where anybody with a
	// payment's link can settle it without money.
	Sandbox bool
	// StripeSecrets are the signing secrets of the webhook endpoint at Stripe, any of which may sign
	// a report. Without any, the gateway takes no reports.
	StripeSecrets []string
	// TrustedProxies are the addresses, and networks such as "10.0.0.0/8", of the
	// proxies in front of the gateway. Their X-Forwarded-For is believed. When it is
	// empty, the client's address is that of the connection.
	TrustedProxies []string
	// CORSOrigins are the origins of other sites whose pages may call the gateway; "*"
	// allows all, an empty list none.
	CORSOrigins []string
	// Services are the names of the services that /readyz reports on.
	Services []string
	// DeadLetters holds the messages that could not be handled. Streams, the declaration of
	// the streams, says which consumers read a message, and which streams are private.
	DeadLetters *bus.DeadLetterQueue
	Streams     *streams.Config
	// AsyncAPI describes the services' messages on NATS. It is served at /asyncapi.json, and
	// as a page at /docs/events. Nil serves neither.
	AsyncAPI *asyncapi.Document
	// MaxFollowers bounds the clients that follow an order at once, and MaxWaiting the
	// requests that wait with Prefer: wait. 0 means 20,000 and 4,000.
	MaxFollowers int
	MaxWaiting   int
	// Store may be nil. Otherwise it returns a context that is cancelled, with the cause,
	// when the store behind the log stops accepting events; once the store has recovered,
	// it returns a new context.
	Store    func() context.Context
	Logger   *slog.Logger         // nil discards
	Registry *prometheus.Registry // for metrics; nil creates a private one
}

// name is the prefix of the metrics, and the name in problems and WWW-Authenticate.
const name = "lonja"

// requestTimeout bounds a request for identity's keys, and the work on one dead letter.
const requestTimeout = 6 * time.Second

type gateway struct {
	Config
	tokens *bearer.Verifier
	orders *follow.Changes // of the service orders
}

// checkID returns NotFound for an ID in a path that no resource can have.
func checkID[T ~string](id T) error {
	if !events.IsToken(string(id)) {
		return errs.New(errs.NotFound, "there is no such resource")
	}
	return nil
}
