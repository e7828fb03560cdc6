package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"lonja/client"
	"lonja/kit/eventlog"
)

// user is a user of the shop. Its client does not retry, because the trials examine
// every single answer, or its absence.
type user struct {
	*client.Client
	balancer *balancer
	history  *history
	email    string
	password string
}

// newUser returns a user that starts with one of the gateways.
func newUser(s *shop, h *history, email, password string, gateway int) *user {
	way := &balancer{shop: s, history: h, gateway: gateway}
	return &user{Client: newClient(s.gateways[0], way), balancer: way, history: h, email: email, password: password}
}

// session returns a second session of the user that starts with a gateway. It is
// logged in, but has no consistency token, so that it does not wait for a service
// that is down.
func (p *user) session(gateway int) *user {
	other := newUser(p.balancer.shop, p.history, p.email, p.password, gateway)
	other.Client = other.Session(client.WithAccessToken(p.Tokens().AccessToken))
	return other
}

// transport reuses connections, as browsers do.
var transport = &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute}

// newClient returns a client that does not retry.
func newClient(url string, by http.RoundTripper) *client.Client {
	c, err := client.New(url, client.WithHTTPClient(&http.Client{Transport: by}), client.WithRetries(0), client.WithTimeout(20*time.Second))
	if err != nil {
		panic(err) // only for an invalid URL
	}
	return c
}

// balancer sends a user's requests to a gateway. When the gateway does not answer,
// or closes the connection after an answer, it changes to the next, as a load
// balancer does.
type balancer struct {
	shop    *shop
	history *history
	mu      sync.Mutex
	gateway int
}

// RoundTrip sends a request and reads the answer. An error means that none came. It
// skips a gateway that refuses the connection.
func (b *balancer) RoundTrip(req *http.Request) (res *http.Response, err error) {
	var body []byte
	for range b.shop.gateways {
		if res, body, err = b.send(req); !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
	}
	if err != nil {
		b.history.answered(req.Method, 0, err.Error())
		return nil, err
	}
	b.history.answered(req.Method, res.StatusCode, req.URL.RequestURI()+" "+string(body))
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

func (b *balancer) send(req *http.Request) (*http.Response, []byte, error) {
	b.mu.Lock()
	gateway := b.gateway
	b.mu.Unlock()
	out := req.Clone(req.Context())
	out.URL.Host = strings.TrimPrefix(b.shop.gateways[gateway%len(b.shop.gateways)], "http://")
	out.Host = out.URL.Host
	if req.GetBody != nil {
		out.Body, _ = req.GetBody() // of bytes
	}
	res, err := transport.RoundTrip(out)
	if err != nil || res.Close {
		b.next(gateway)
	}
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}

// next changes to the next gateway, unless a concurrent request already did.
func (b *balancer) next(gateway int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gateway == gateway {
		b.gateway++
	}
}

// answer is an HTTP response; status 0 means that none came.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request once and returns the answer. An error means that none came.
func (p *user) do(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
	r := client.Request{Method: method, Path: path, Header: http.Header{}}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	if body != "" {
		r.Body = []byte(body)
	}
	res, err := p.Do(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return answer{res.StatusCode, res.Header, res.Body}, nil
}

// keepTrying calls until there is no error, for a minute at most.
func keepTrying(ctx context.Context, call func() error) error {
	return eventually(ctx, time.Minute, call)
}

func (p *user) logIn(ctx context.Context) error {
	return keepTrying(ctx, func() error {
		_, err := p.LogIn(ctx, p.email, p.password)
		return err
	})
}

func (p *user) register(ctx context.Context) error {
	return keepTrying(ctx, func() error { return p.registerOnce(ctx) })
}

func (p *user) registerOnce(ctx context.Context) error {
	_, err := p.Register(ctx, client.NewAccount{Name: "Somebody", Email: p.email, Password: p.password}, client.Key(p.email))
	return err
}

// createProduct creates a product and sets its stock.
func (p *user) createProduct(ctx context.Context, sku string, pieces int) error {
	product := client.NewProduct{SKU: sku, Name: "Product " + sku, Price: client.Money{Amount: 295, Currency: "GBP"}}
	return errors.Join(keepTrying(ctx, func() error {
		_, err := p.CreateProduct(ctx, product, client.Key("product "+sku))
		return err
	}), keepTrying(ctx, func() error {
		_, err := p.SetStock(ctx, sku, int64(pieces))
		return err
	}))
}

// commandID returns the id that the gateway derives for the command of a request
// with a key.
func (p *user) commandID(route, key string) string {
	return eventlog.DeriveID("http", p.Tokens().User.ID, route, key)
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only for a type that JSON does not support
	}
	return string(b)
}

// orderOf returns the body of an order.
func orderOf(sku string, pieces int) string {
	return fmt.Sprintf(`{"items":[{"sku":%q,"quantity":%d}]}`, sku, pieces)
}
