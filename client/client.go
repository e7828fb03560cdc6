package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client speaks to a shop for one user, or for nobody. It is made by [New] or
// [Client.Session], and safe for concurrent use.
type Client struct {
	base    string // "https://shop.example", without a slash at the end
	http    *http.Client
	retry   retryPolicy
	timeout time.Duration // of one try
	session *session
	seen    *consistency // nil when tokens are neither kept nor sent
}

const (
	defaultRetries = 4
	defaultTimeout = 45 * time.Second // longer than the longest Wait
	firstPause     = 100 * time.Millisecond
	longestPause   = 5 * time.Second
)

// defaultHTTP is shared by all clients that bring none of their own.
var defaultHTTP = func() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	return &http.Client{Transport: t, CheckRedirect: noRedirects}
}()

// noRedirects keeps access tokens from being sent elsewhere. The API redirects
// nobody.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// New returns a client of the shop at baseURL, such as "https://shop.example",
// which speaks for nobody unless an option says otherwise. It sends nothing yet.
// The error says what is wrong with baseURL.
func New(baseURL string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("lonja: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("lonja: the base URL must be like https://shop.example")
	}
	c := &Client{
		base:    strings.TrimRight(baseURL, "/"),
		http:    defaultHTTP,
		retry:   retryPolicy{retries: defaultRetries, first: firstPause, longest: longestPause},
		timeout: defaultTimeout,
		session: newSession(),
		seen:    &consistency{},
	}
	c.set(options)
	return c, nil
}

func (c *Client) set(options []Option) {
	for _, set := range options {
		set(c)
	}
}

// Session returns a client of the same shop for another user. It shares c's
// connections and policies, and nothing of what c's user knows: it has no tokens,
// and has seen nothing yet, unless an option says otherwise.
func (c *Client) Session(options ...Option) *Client {
	other := *c
	other.session = newSession()
	if c.seen != nil { // or they are switched off
		other.seen = &consistency{}
	}
	other.set(options)
	return &other
}
