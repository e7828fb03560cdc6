// Package gateway is the shop's HTTP side: it turns requests into commands and
// queries, and their answers into responses. It holds no data and knows no
// rule of the shop; whatever may be refused is refused by a service.
//
// A request passes through observe (metrics, panics, routes that do not
// exist), begin (who asks, with which token, key and trace), its handler, one
// command or query, and either an answer in the service's own JSON or a
// problem (RFC 9457).
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/revocation"
	"lonja/kit/streams"
)

// Config says what the gateway speaks to. Client, Revoked,
// Letters and Streams are required.
type Config struct {
	Client *bus.Client
	// Revoked are the access tokens that were taken back.
	Revoked *revocation.List
	// PublicURL is the shop's origin as customers see it, such as
	// "https://shop.example". It is required.
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

type gateway struct {
	Config
	mux      *http.ServeMux
	api      huma.API
	tokens   *tokens
	proxies  proxies
	measured *measures
	bodies   *semaphore.Weighted // bytes of all bodies that are being read

	changes   *changes // of orders
	following *places
	waiting   *places
	asking    chan struct{} // of the followers who ask right now

	large *semaphore.Weighted // bytes of the large answers that are held
}

// New is the gateway as a handler; see Serve for running it.
func New(c Config) (http.Handler, error) {
	if c.Client == nil || c.Revoked == nil || c.Letters == nil || c.Streams == nil {
		return nil, errors.New("gateway: Client, Revoked, Letters and Streams are required")
	}
	if c.PublicURL == "" {
		return nil, errors.New("gateway: PublicURL is required")
	}
	if err := CheckOrigin(c.PublicURL); err != nil {
		return nil, fmt.Errorf("gateway: PublicURL %w", err)
	}
	trusted, err := parseProxies(c.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("gateway: TrustedProxies: %w", err)
	}
	if err := CheckCORSOrigins(c.CORSOrigins); err != nil {
		return nil, fmt.Errorf("gateway: CORSOrigins: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.MaxFollowers < 0 || c.MaxWaiting < 0 {
		return nil, errors.New("gateway: MaxFollowers and MaxWaiting must not be negative")
	}
	g := &gateway{Config: c, mux: http.NewServeMux(), proxies: trusted, bodies: semaphore.NewWeighted(allBodies), large: semaphore.NewWeighted(allLarge),
		changes: newChanges(), asking: make(chan struct{}, askAtOnce)}
	g.api = humago.New(g.mux, g.describe())
	g.tokens = newTokens(g.askKeys, c.Revoked)
	if g.measured, err = newMeasures(c.Registry); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	var failed [3]error
	g.following, failed[0] = newPlaces(c.Registry, "followers", "following orders", cmp.Or(c.MaxFollowers, defaultFollowers))
	g.waiting, failed[1] = newPlaces(c.Registry, "waiting", "waiting for their orders", cmp.Or(c.MaxWaiting, defaultWaiting))
	failed[2] = c.Client.Changes("orders", g.changes.changed)
	if err := errors.Join(failed[:]...); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.routes()
	if err := g.serveDocs(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return g.observe(allowOrigins(c.CORSOrigins, g.withoutSlash(g.mux))), nil
}

// routes is all that the gateway serves, docs apart.
func (g *gateway) routes() {
	add(g, "POST /api/auth/register", "Register", register, tag("accounts"), keyed, limited, gives[query.Tokens](201), refuses(409))
	add(g, "POST /api/auth/login", "Log in", logIn, tag("accounts"), limited, gives[query.Tokens](200), refuses(401))
	add(g, "POST /api/auth/refresh", "Refresh a session", refresh, tag("accounts"), limited, gives[query.Tokens](200), refuses(401))
	add(g, "POST /api/auth/logout", "Log out", logOut, tag("accounts"), limited, refuses(401))
	add(g, "GET /api/auth/verify", "Verify an access token", verify, tag("accounts"), signedIn, gives[verified](200))
	add(g, "GET /.well-known/jwks.json", "Read the keys of access tokens", keys, tag("accounts"), gives[query.Keyset](200))
	add(g, "GET /api/users", "List users", listUsers, tag("accounts"), adminOnly, gives[query.List[query.UserView]](200))
	add(g, "PUT /api/users/{id}/roles", "Set a user's roles", setRoles, tag("accounts"), adminOnly, gives[query.UserView](200), refuses(404, 409))

	add(g, "POST /api/products", "Create a product", createProduct, mayWait, tag("products"), staffOnly, keyed, gives[query.ProductView](201), refuses(409))
	add(g, "GET /api/products", "List products", listProducts, tag("products"), gives[query.List[query.ProductView]](200))
	add(g, "GET /api/products/{sku}", "Read a product", readProduct, tag("products"), gives[query.ProductView](200), refuses(404))
	add(g, "PATCH /api/products/{sku}", "Change a product", changeProduct, mayWait, tag("products"), staffOnly, gives[query.ProductView](200), refuses(404, 409))
	add(g, "DELETE /api/products/{sku}", "Archive a product", archiveProduct, mayWait, tag("products"), staffOnly, about("It is no longer listed or orderable, and still readable. PATCH with available: true brings it back."), refuses(404))

	add(g, "GET /api/products/{sku}/stock", "Read the stock of a product", readStock, tag("stock"), gives[query.StockView](200), refuses(404))
	add(g, "PUT /api/products/{sku}/stock", "Set the stock of a product", countStock, mayWait, tag("stock"), staffOnly, about("The catalogue must have the product, which may be archived."), gives[query.StockView](200), refuses(404, 409))
	add(g, "POST /api/products/{sku}/stock/adjustments", "Adjust the stock of a product", adjustStock, mayWait, tag("stock"), staffOnly, keyed, gives[query.StockView](200), refuses(404, 409))

	add(g, "POST /api/orders", "Place an order", placeOrder, mayWait, tag("orders"), about("Prices are the catalogue's; an item whose unit_price is another one is refused. Whether the goods are there is known a moment later: the order then awaits its payment, is paid if it costs nothing, or is cancelled."),
		signedIn, keyed, waits, gives[query.OrderView](201), refuses(403, 409))
	add(g, "GET /api/orders", "List orders", listOrders, tag("orders"), signedIn, gives[query.List[query.OrderView]](200))
	add(g, "GET /api/orders/{id}", "Read an order", readOrder, tag("orders"), signedIn, gives[query.OrderView](200), refuses(404))
	add(g, "PATCH /api/orders/{id}", "Change an order's status", moveOrder, mayWait, tag("orders"), signedIn, gives[query.OrderView](200), refuses(403, 404, 409))
	add(g, "GET /api/orders/{id}/timeline", "Read an order's timeline", readTimeline, tag("orders"), signedIn, gives[[]query.TimelineEntry](200), refuses(404))
	page(g, "GET /api/orders/{id}/stream", "Follow an order's status", followOrder, tag("orders"), about("Server-sent events, one for each status, until the order is delivered or cancelled, or the access token expires or is revoked."),
		signedIn, orTicket, resumes, shows("text/event-stream"), refuses(404))

	add(g, "POST /api/orders/{id}/stream/tickets", "Ask for a URL to follow an order with", giveTicket, tag("orders"), about("For a browser's EventSource, which cannot send an access token. "+
		"It reconnects with the same URL; once that has expired the answer is 401, on which it gives up with its readyState at CLOSED: ask for another URL then. An order that is finished is answered 204."),
		signedIn, gives[streamURL](201), refuses(404))

	if g.Sandbox {
		page(g, "GET /sandbox/payments/{id}", "Show the sandbox provider's page", showPayment, tag("sandbox"), comesBack, gives[query.PaymentView](200), shows("text/html"), refuses(404))
		page(g, "POST /sandbox/payments/{id}", "Pay or decline in the sandbox", settlePayment, tag("sandbox"), accepts(reflect.TypeFor[settlement]()), acceptsForm, gives[query.PaymentView](200), refuses(403, 404, 409))
	}

	add(g, "GET /api/commands/{id}", "Read what became of a command that was left for later", readCommand, tag("operations"), signedIn, gives[outcome](200), refuses(404))
	add(g, "GET /api/deadletters", "List the messages that could not be handled", listLetters, tag("operations"), staffOnly, gives[query.List[bus.DeadLetter]](200))
	add(g, "GET /api/deadletters/{id}", "Read a dead letter", readLetter, tag("operations"), staffOnly, gives[bus.DeadLetter](200), refuses(404))
	add(g, "POST /api/deadletters/{id}/retry", "Give a dead letter back to whoever failed", retryLetter, tag("operations"), staffOnly, gives[retried](200), refuses(404, 409))
	add(g, "DELETE /api/deadletters/{id}", "Drop a dead letter", dropLetter, tag("operations"), staffOnly, refuses(404))

	page(g, "GET /healthz", "Tell whether the gateway is alive", alive, tag("operations"), probed, gives[liveness](200))
	page(g, "GET /readyz", "Tell whether the shop is ready", ready, tag("operations"), probed, gives[readiness](200), refuses(503))
	page(g, "GET /readyz/gateway", "Tell whether this gateway can serve", standing, tag("operations"), probed, about("For a balancer's probe: whether the gateway is connected and not about to stop, whatever the services do."),
		gives[liveness](200))
	page(g, "GET /metrics", "Read the metrics", g.metrics(), tag("operations"), probed, shows("text/plain"))
}

// CheckOrigin makes sure that a PublicURL is an origin, or "". The error says
// what it must be.
func CheckOrigin(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || s != u.Scheme+"://"+u.Host {
		return errors.New("must be an origin such as https://shop.example: no path, no user, no slash at the end")
	}
	return nil
}

// origin is the shop's address as customers see it. Anybody can send any Host, so
// only one that leads nowhere else is believed.
func (c *call) origin() string {
	if c.Local && isLoopback(c.r.Host) {
		return "http://" + c.r.Host
	}
	return c.PublicURL
}

// isLoopback reports whether a Host is a loopback's, with a port or without.
func isLoopback(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
