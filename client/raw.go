package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// Request is a request for [Client.Do].
type Request struct {
	Method string
	Path   string      // with the query, such as "/api/orders?page=2"
	Header http.Header // added to the client's own; not modified
	Body   []byte      // JSON unless Header says otherwise; nil for none
}

// Response is a response with any status.
type Response struct {
	StatusCode int
	Header     http.Header
	Body       []byte
}

// Replayed reports whether this is the response to an earlier request with the same key, so
// that this call changed nothing.
func (r *Response) Replayed() bool { return r.Header.Get("Idempotent-Replayed") == "true" }

// Do sends a request once and returns the response, whatever its status. It does nothing
// else for the caller: no retries, no key, no renewal of tokens, no waiting for outcomes. It
// adds the session's access token and the consistency token, unless the header has them,
// and observes the response's consistency token. An error means that no complete response
// arrived; then it is unknown whether the request took effect.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	return c.try(ctx, r, c.session.accessToken())
}

// try sends a request once and reads the whole response.
func (c *Client) try(ctx context.Context, r Request, token string) (*Response, error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	got, err := c.send(ctx, r, token)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	res := &Response{StatusCode: got.StatusCode, Header: got.Header}
	if res.Body, err = readAll(got); err != nil {
		return nil, err
	}
	c.observe(got.Header)
	return res, nil
}

// send sends a request. The caller reads and closes the response's body.
func (c *Client) send(ctx context.Context, r Request, token string) (*http.Response, error) {
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, c.base+r.Path, body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	set := func(name, value string) {
		if value != "" && req.Header[name] == nil {
			req.Header[name] = []string{value}
		}
	}
	if r.Body != nil {
		set("Content-Type", "application/json")
	}
	if token != "" {
		set("Authorization", "Bearer "+token)
	}
	set("Consistency-Token", c.Consistency())
	return c.http.Do(req)
}

// readAll reads a body. It allocates the announced size at once if that is at most 1 MB.
func readAll(res *http.Response) ([]byte, error) {
	const maxAllocated = 1 << 20
	if n := res.ContentLength; n > 0 && n <= maxAllocated {
		body := make([]byte, n)
		_, err := io.ReadFull(res.Body, body)
		return body, err
	}
	return io.ReadAll(res.Body)
}
