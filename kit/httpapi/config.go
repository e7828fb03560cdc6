package httpapi

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/bus"
	"lonja/kit/httpapi/bearer"
	"lonja/kit/httpapi/clientaddr"
)

// Config configures an API. Client, Name and PublicURL are required.
type Config struct {
	// Client sends the commands and queries.
	Client *bus.Client
	// Name is a word in lower case that distinguishes this API. Metrics are called
	// NAME_http_requests_total and so on, the type of a problem is
	// urn:NAME:problem:CODE, and NAME is the realm in WWW-Authenticate.
	Name string
	// Tokens verifies access tokens. It is required if a route is SignedIn.
	Tokens *bearer.Verifier

	// Title, Version and About describe the API in its OpenAPI document; About is
	// Markdown. AboutTokens says how to get an access token, and AboutTickets how to
	// get a ticket; "" when the API takes none.
	Title, Version, About     string
	AboutTokens, AboutTickets string

	// PublicURL is the API's origin as clients see it, such as
	// "https://www.example".
	PublicURL string
	// Local makes Call.Origin return the request's Host instead of PublicURL when
	// that is a loopback address: for an API that only this machine uses.
	Local bool
	// TrustedProxies are the addresses, and networks such as "10.0.0.0/8", of the
	// proxies in front of the API. Their X-Forwarded-For is believed. When it is
	// empty, the client's address is that of the connection.
	TrustedProxies []string
	// CORSOrigins are the origins of other sites whose pages may call the API; "*"
	// allows all, an empty list none.
	CORSOrigins []string

	Logger   *slog.Logger         // nil discards
	Registry *prometheus.Registry // for metrics; nil creates a private one
}

// check validates the configuration. It returns it with the defaults filled in, and
// the parsed TrustedProxies.
func (c Config) check() (Config, clientaddr.Proxies, error) {
	if c.Client == nil || c.Name == "" {
		return c, nil, errors.New("Config: Client and Name are required")
	}
	if c.PublicURL == "" {
		return c, nil, errors.New("Config: PublicURL is required")
	}
	if err := CheckOrigin(c.PublicURL); err != nil {
		return c, nil, fmt.Errorf("Config: PublicURL %w", err)
	}
	trusted, err := clientaddr.ParseProxies(c.TrustedProxies)
	if err != nil {
		return c, nil, fmt.Errorf("Config: TrustedProxies: %w", err)
	}
	if err := CheckCORSOrigins(c.CORSOrigins); err != nil {
		return c, nil, fmt.Errorf("Config: CORSOrigins: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	return c, trusted, nil
}
