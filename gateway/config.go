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

// Config says what the gateway speaks to. Client, Revoked, Letters, Streams and
// PublicURL are required.
type Config struct {
	Client *bus.Client
	// Revoked are the access tokens that were taken back.
	Revoked *revocation.List
	// PublicURL is the shop's origin as customers see it, such as
	// "https://shop.example".
	PublicURL string
	// Local believes a request's Host instead, when that is this machine's
	// loopback: for a shop that nobody else is meant to see.
	Local bool
	// Sandbox serves the sandbox provider's pages, where whoever has a payment's
	// link pays for nothing.
	Sandbox bool
	// TrustedProxies are addresses, and networks such as "10.0.0.0/8", of the
	// proxies before the gateway: their X-Forwarded-For says where a request
	// comes from. Without any it comes from whoever connects.
	TrustedProxies []string
	// CORSOrigins are the origins of other sites whose pages may call the gateway;
	// "*" means all. None may when it is empty.
	CORSOrigins []string
	// Services are the names of those that readyz waits for.
	Services []string
	// Letters are the messages that could not be handled; Streams tells who reads
	// what, and what is private.
	Letters *bus.DeadLetterQueue
	Streams *streams.Config
	// AsyncAPI describes the messages of the services on NATS. It is served at
	// /asyncapi.json, and for people at /docs/events. Nil serves neither.
	AsyncAPI *asyncapi.Document
	// MaxFollowers is how many may follow an order at once, and MaxWaiting how
	// many may wait with Prefer: wait; 0 means 20,000 and 4,000.
	MaxFollowers int
	MaxWaiting   int
	// Store, which may be nil, is a context that ends, and says why, when the store
	// behind the log takes no events any more. After that it is another one.
	Store    func() context.Context
	Logger   *slog.Logger         // nil discards
	Registry *prometheus.Registry // for metrics; nil means one of its own
}

// name is what the shop's metrics, problems, realm and tokens are called by.
const name = "lonja"

// patience is how long identity may take to tell its keys, and the log to do
// something with one dead letter.
const patience = 6 * time.Second

type gateway struct {
	Config
	tokens *bearer.Verifier
	orders *follow.Changes // of the service orders, for those who follow or wait for one
}

// known refuses an id in a path that cannot be anything's.
func known[T ~string](id T) error {
	if !events.IsToken(string(id)) {
		return errs.New(errs.NotFound, "there is no such thing")
	}
	return nil
}
