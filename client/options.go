package client

import (
	"net/http"
	"strconv"
	"time"
)

// Option configures a client in [New] or [Client.Session].
type Option func(*Client)

// WithHTTPClient sends requests with the caller's HTTP client, for example one whose
// transport adds tracing. It is copied. Redirects are not followed unless it has a
// CheckRedirect. Its Timeout, if set, also ends streams, which then reconnect; prefer
// [WithTimeout].
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) {
		own := *h
		if own.CheckRedirect == nil {
			own.CheckRedirect = noRedirects
		}
		c.http = &own
	}
}

// WithRetries sets how often a request is repeated at most. The default is 4; with n of 0 or
// less it is never repeated.
func WithRetries(n int) Option { return func(c *Client) { c.retry.retries = n } }

// WithBackoff sets the pause before the first retry and the longest pause. Each pause is
// twice as long as the previous one, and half of it is random. The defaults are 100 ms and
// 5 s. Retry-After makes a pause longer.
func WithBackoff(first, longest time.Duration) Option {
	return func(c *Client) { c.retry.first, c.retry.longest = first, max(first, longest) }
}

// WithTimeout bounds one try, until the end of the response. The default is 45 s, 0 means no
// bound, and streams are not bounded. The caller's context bounds all tries together.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithPassword logs in with an email address and a password as soon as a request requires an
// access token, and again when the session has ended. It is for programs that have their
// own account. The password is kept in memory.
func WithPassword(email, password string) Option {
	return func(c *Client) { c.session.email, c.session.password = email, password }
}

// WithTokens continues an existing session, see [OnTokens].
func WithTokens(t Tokens) Option { return func(c *Client) { c.session.tokens = t } }

// WithAccessToken uses an access token and does not renew it.
func WithAccessToken(token string) Option { return WithTokens(Tokens{AccessToken: token}) }

// OnTokens sets a function that gets the session's tokens whenever they change: after a
// login, after a renewal and, as the zero Tokens, after the session's end. Store them and
// pass them to [WithTokens] to continue the session in another process. The function is
// called before the request continues, and must not call the client.
func OnTokens(changed func(Tokens)) Option { return func(c *Client) { c.session.changed = changed } }

// WithConsistency starts with another client's consistency token, see [Client.Consistency].
func WithConsistency(token string) Option { return func(c *Client) { c.Observe(token) } }

// WithoutConsistency switches consistency tokens off. Reads then never wait for a view, and
// may miss a write that was just made.
func WithoutConsistency() Option { return func(c *Client) { c.seen = nil } }

// CallOption configures one call.
type CallOption func(*callOptions)

type callOptions struct {
	key      string
	wait     time.Duration
	after    string
	into     *Response
	noFollow bool
}

// Key sets the Idempotency-Key, which is random by default. A caller that repeats a call
// later, perhaps after a restart, uses the same key and gets the first response. A
// different request with the same key gets 422. A key has 1 to 255 printable ASCII
// characters. The option is an error for calls that do not create anything.
func Key(key string) CallOption { return func(o *callOptions) { o.key = key } }

// Wait makes [Client.PlaceOrder] return once the order has a payment URL, is paid because it
// costs nothing, or is cancelled; after d at the latest. It is rounded up to seconds, and 30
// seconds at most. It is an error for other calls.
func Wait(d time.Duration) CallOption { return func(o *callOptions) { o.wait = d } }

// After makes [Client.FollowOrder] start after the change with this ID.
func After(id string) CallOption { return func(o *callOptions) { o.after = id } }

// Into stores the response to the call in r, which also says whether it was replayed. If the
// call returns an error, r stays unchanged.
func Into(r *Response) CallOption { return func(o *callOptions) { o.into = r } }

// NoFollow makes a call return a [*Deferred] at once if the shop defers the command, instead
// of waiting for the outcome.
func NoFollow() CallOption { return func(o *callOptions) { o.noFollow = true } }

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
