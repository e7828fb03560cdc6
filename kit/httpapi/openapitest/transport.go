package openapitest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Fetch reads the document that a server serves.
func Fetch(url string) (*Document, error) {
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s: %s", url, resp.Status), err)
	}
	return Parse(data)
}

// Transport returns a transport that checks every answer against the document at a URL
// and fails the test when an answer does not match. It reads the document after the first
// answer; when the server is gone by then, it tries again after the next. Of a stream of
// server-sent events, only status and headers are checked. Other are the beginnings of
// paths that are served and are not in the document.
func Transport(t testing.TB, url string, other ...string) *Checked {
	return &Checked{t: t, url: url, other: other}
}

// Checked is what Transport returns.
type Checked struct {
	// Played, which may be nil, reports whether the test itself made up the answer to a
	// request. Then a body with a status below 300 is not checked.
	Played func(*http.Request) bool

	t     testing.TB
	url   string
	other []string

	mu  sync.Mutex
	doc *Document // nil until it is read
}

// document returns nil when the server is gone.
func (tr *Checked) document() (*Document, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.doc != nil {
		return tr.doc, nil
	}
	var err error
	var gone *url.Error
	if tr.doc, err = Fetch(tr.url); errors.As(err, &gone) {
		err = nil
	}
	return tr.doc, err
}

// RoundTrip implements http.RoundTripper.
func (tr *Checked) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.GetBody != nil {
		if body, err := req.GetBody(); err == nil {
			sent, _ = io.ReadAll(body) // of bytes in memory
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	var body []byte
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		if body, err = io.ReadAll(resp.Body); err != nil {
			resp.Body = &broken{bytes.NewReader(body), resp.Body, err}
			return resp, nil // the caller gets the error when it reads the body
		}
		_ = resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	checked := body
	if resp.StatusCode < 300 && tr.Played != nil && tr.Played(req) {
		checked = nil
	}
	doc, err := tr.document()
	if doc != nil && err == nil {
		err = doc.Check(req, sent, resp, checked, tr.other...)
	}
	if err != nil && tr.t.Context().Err() == nil {
		tr.t.Errorf("%s %s does not match the OpenAPI document: %v\n%d %s", req.Method, req.URL.Path, err, resp.StatusCode, body[:min(len(body), 1000)])
	}
	return resp, nil
}

// broken is a body that ends with an error.
type broken struct {
	io.Reader
	io.Closer
	err error
}

// Read implements io.Reader.
func (b *broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}
