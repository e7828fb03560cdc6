package client

import (
	"net/http"
	"strconv"
	"time"
)

// Option changes how a client behaves, in [New] or [Client.Session].
type Option func(*Client)

// WithHTTPClient sends requests with an HTTP client of the caller's, for example
// one whose transport adds tracing. Redirects are not followed unless it has a
// CheckRedirect of its own. Its Timeout, when set, also ends streams, which then
// reconnect; prefer [WithTimeout].
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) {
		own := *h
		if own.CheckRedirect == nil {
			own.CheckRedirect = noRedirects
		}
		c.http = &own
	}
}

// WithRetries sets how often a request is sent again at most: 4 times unless
// set, never when n is 0 or less.
func WithRetries(n int) Option { return func(c *Client) { c.retry.retries = n } }

// WithBackoff sets the pause before the first retry and the longest one; each is
// twice as long as the one before. Half of a pause is random. They are 100 ms and
// 5 s unless set. Retry-After makes a pause longer.
func WithBackoff(first, longest time.Duration) Option {
	return func(c *Client) { c.retry.first, c.retry.longest = first, max(first, longest) }
}

// WithTimeout bounds one try, from sending it to the end of its answer. It is 45 s
// unless set, 0 is for ever, and streams are not bound by it. The caller's context
// bounds all tries.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithPassword logs in with an address and a password as soon as a request needs
// that, and again when the session has ended: for programs that have an account
// of their own. The password is kept in memory.
func WithPassword(email, password string) Option {
	return func(c *Client) { c.session.email, c.session.password = email, password }
}

// WithTokens goes on with a session that was begun before, see [OnTokens].
func WithTokens(t Tokens) Option { return func(c *Client) { c.session.tokens = t } }

// WithAccessToken sends an access token as it is, and does not renew it.
func WithAccessToken(token string) Option { return WithTokens(Tokens{AccessToken: token}) }

// OnTokens is told of the tokens whenever the session's change: after a login, a
// renewal and, with none, after the end. To go on with the session in another
// process, keep them and pass them to [WithTokens]. It is called before the
// request goes on, and must not call the client.
func OnTokens(changed func(Tokens)) Option { return func(c *Client) { c.session.changed = changed } }

// WithConsistency begins with what another client has seen, see
// [Client.Consistency].
func WithConsistency(token string) Option { return func(c *Client) { c.Observe(token) } }

// WithoutConsistency neither keeps nor sends consistency tokens. Reads may then
// miss what was written just before, and wait for nothing.
func WithoutConsistency() Option { return func(c *Client) { c.seen = nil } }

// CallOption changes one call.
type CallOption func(*callOptions)

type callOptions struct {
	key      string
	wait     time.Duration
	after    string
	into     *Response
	noFollow bool
}

// Key sets the Idempotency-Key, which is random unless set. A caller that repeats
// a call later, perhaps after a restart, gives the same key again and gets the
// first answer; with another request under the same key the shop answers 422. It
// has 1 to 255 printable characters of ASCII, and is an error on calls that take
// none.
func Key(key string) CallOption { return func(o *callOptions) { o.key = key } }

// Wait lets [Client.PlaceOrder] answer when the order says where to pay, is paid
// since it costs nothing, or is cancelled, or after d at the latest. It counts in
// seconds, up to 30 of them.
func Wait(d time.Duration) CallOption { return func(o *callOptions) { o.wait = d } }

// After lets [Client.FollowOrder] begin after the change with this ID.
func After(id string) CallOption { return func(o *callOptions) { o.after = id } }

// Into keeps the response to the call, which also tells whether it was replayed.
// r stays as it is when there was none.
func Into(r *Response) CallOption { return func(o *callOptions) { o.into = r } }

// NoFollow returns a [*Deferred] at once when the shop defers a command, instead
// of waiting for its outcome.
func NoFollow() CallOption { return func(o *callOptions) { o.noFollow = true } }

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
