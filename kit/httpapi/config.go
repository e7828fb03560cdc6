package httpapi

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/bus"
	"lonja/kit/httpapi/bearer"
)

// Config says what an API is called and what it speaks to. Client, Name and
// PublicURL are required.
type Config struct {
	Client *bus.Client
	// Name is a word in lower case that tells this API's names from others':
	// metrics are NAME_http_requests_total and so on, the type of a problem is
	// urn:NAME:problem:CODE, and NAME is the realm of WWW-Authenticate.
	Name string
	// Tokens verifies access tokens. It is required by routes that are SignedIn.
	Tokens *bearer.Verifier

	// Title, Version and About describe the API to its readers; About is Markdown.
	// AboutTokens says where access tokens come from, and AboutTickets where
	// tickets do; "" when none are taken.
	Title, Version, About     string
	AboutTokens, AboutTickets string

	// PublicURL is the API's origin as clients see it, such as
	// "https://www.example".
	PublicURL string
	// Local believes a request's Host instead, when that is this machine's
	// loopback: for an API that nobody else is meant to see.
	Local bool
	// TrustedProxies are addresses, and networks such as "10.0.0.0/8", of the
	// proxies before the API: their X-Forwarded-For says where a request comes
	// from. Without any it comes from whoever connects.
	TrustedProxies []string
	// CORSOrigins are the origins of other sites whose pages may call the API;
	// "*" means all. None may when it is empty.
	CORSOrigins []string

	Logger   *slog.Logger         // nil discards
	Registry *prometheus.Registry // for metrics; nil means one of its own
}

// check returns the configuration with its defaults filled in, and the proxies
// that are trusted.
func (c Config) check() (Config, proxies, error) {
	if c.Client == nil || c.Name == "" {
		return c, nil, errors.New("a Client and a Name are required")
	}
	if c.PublicURL == "" {
		return c, nil, errors.New("PublicURL is required")
	}
	if err := CheckOrigin(c.PublicURL); err != nil {
		return c, nil, fmt.Errorf("PublicURL %w", err)
	}
	trusted, err := parseProxies(c.TrustedProxies)
	if err != nil {
		return c, nil, fmt.Errorf("TrustedProxies: %w", err)
	}
	if err := CheckCORSOrigins(c.CORSOrigins); err != nil {
		return c, nil, fmt.Errorf("CORSOrigins: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	return c, trusted, nil
}
