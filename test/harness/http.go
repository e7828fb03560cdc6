package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"lonja/client"
	"lonja/kit/httpapi/openapitest"
)

// Answer is an HTTP response, read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// HTTPClient returns a client that fails the test when an answer is not as the shop's own
// OpenAPI document says. It does not check streams of events beyond their headers.
func (s *Shop) HTTPClient() *http.Client { return s.http }

// checked returns such a client of the shop at an address.
func checked(t *testing.T, url string) *http.Client {
	return &http.Client{Transport: openapitest.Transport(t, url+"/openapi.json", "/docs", "/openapi.json", "/asyncapi.json")}
}

// Do sends a request as a person and returns the answer, whatever its status. It fails
// the test when the answer is not as the shop's OpenAPI document says. The
// body is nil, a string that is sent as it is, or a value that is sent as JSON.
// Headers are names and values in turn. The error is the connection's.
func (p *Person) Do(method, path string, body any, headers ...string) (Answer, error) {
	c, err := client.New(p.URL, client.WithHTTPClient(p.http), client.WithAccessToken(p.Token), client.WithConsistency(p.After), client.WithTimeout(0))
	if err != nil {
		return Answer{}, err
	}
	r := client.Request{Method: method, Path: path, Header: http.Header{}}
	switch b := body.(type) {
	case nil:
	case string:
		r.Body = []byte(b)
	default:
		if r.Body, err = json.Marshal(body); err != nil {
			return Answer{}, err
		}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(p.T.Context(), r)
	if err != nil {
		return Answer{}, err
	}
	p.After = c.Consistency()
	return Answer{res.StatusCode, res.Header, res.Body}, nil
}

// Wants sends a request like [Person.Do] and fails the test unless the status is
// as wanted. The answer is decoded into out, which may be nil.
func (p *Person) Wants(status int, method, path string, body, out any, headers ...string) Answer {
	p.T.Helper()
	a, err := p.Do(method, path, body, headers...)
	if err != nil {
		p.T.Fatalf("%s: %s %s: %v", p.Name, method, path, err)
	}
	if a.Status != status {
		p.T.Fatalf("%s: %s %s: got %d, want %d: %s", p.Name, method, path, a.Status, status, a.Body)
	}
	if out != nil {
		if err := json.Unmarshal(a.Body, out); err != nil {
			p.T.Fatalf("%s: %s %s: %v in %s", p.Name, method, path, err, a.Body)
		}
	}
	return a
}

// Status sends a request and returns the answer's status.
func (p *Person) Status(method, path string, body any) int {
	p.T.Helper()
	a, err := p.Do(method, path, body)
	if err != nil {
		p.T.Fatalf("%s: %s %s: %v", p.Name, method, path, err)
	}
	return a.Status
}

// StatusOf returns the status that a GET of a URL is answered with, 0 when nobody
// answers.
func StatusOf(url string) int {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// AwaitReady waits until /readyz says that the whole shop is ready, for 30 seconds
// at most.
func (s *Shop) AwaitReady() {
	s.T.Helper()
	Within(s.T, 30*time.Second, func() error {
		resp, err := http.Get(s.URL + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			var body bytes.Buffer
			_, _ = body.ReadFrom(resp.Body)
			return fmt.Errorf("not ready: %s", body.String())
		}
		return nil
	})
}

// Metric returns the value of a metric without labels.
func (s *Shop) Metric(name string) float64 {
	s.T.Helper()
	page := string((&Person{Shop: s, Name: "prometheus"}).Wants(200, "GET", "/metrics", nil, nil).Body)
	_, rest, found := strings.Cut(page, "\n"+name+" ")
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if !found || err != nil {
		s.T.Fatalf("there is no metric %s: %v", name, err)
	}
	return n
}
