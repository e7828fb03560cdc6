package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client sends requests to a shop for one user, or anonymously. It is made by [New] or
// [Client.Session], and is safe for concurrent use.
type Client struct {
	base    string // "https://shop.example", without a trailing slash
	http    *http.Client
	retry   retryPolicy
	timeout time.Duration // of one try
	session *session
	seen    *consistency // nil if consistency tokens are switched off
}

const (
	defaultRetries = 4
	defaultTimeout = 45 * time.Second // longer than the longest Wait
	firstPause     = 100 * time.Millisecond
	longestPause   = 5 * time.Second
)

// defaultHTTP is shared by all clients without WithHTTPClient.
var defaultHTTP = func() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	return &http.Client{Transport: t, CheckRedirect: noRedirects}
}()

// noRedirects prevents access tokens from being sent to another host. The API redirects no
// request of this client.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// New returns a client of the shop at baseURL, such as "https://shop.example". It is
// anonymous unless an option gives it a user. New sends nothing. It returns an error if
// baseURL is not an HTTP URL.
func New(baseURL string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("lonja: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("lonja: the base URL must be an HTTP URL such as https://shop.example")
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

// Session returns a client of the same shop for another user. It shares c's connections
// and policies, but not c's access tokens and consistency token; options can set both.
func (c *Client) Session(options ...Option) *Client {
	other := *c
	other.session = newSession()
	if c.seen != nil { // nil if they are switched off
		other.seen = &consistency{}
	}
	other.set(options)
	return &other
}
