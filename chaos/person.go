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

// person is somebody who uses the shop, with a client that tries nothing again:
// what a single answer says, or that none comes, is what the trials look at.
type person struct {
	*client.Client
	way      *balancer
	history  *history
	email    string
	password string
}

// newPerson is somebody who begins at one of the gateways.
func newPerson(s *shop, h *history, email, password string, gateway int) *person {
	way := &balancer{shop: s, history: h, gateway: gateway}
	return &person{Client: visit(s.gateways[0], way), way: way, history: h, email: email, password: password}
}

// hand is another hand of theirs, which begins at a gateway: logged in as they
// are, and with no consistency token, for what is away may not be waited for.
func (p *person) hand(gateway int) *person {
	other := newPerson(p.way.shop, p.history, p.email, p.password, gateway)
	other.Client = other.Session(client.WithAccessToken(p.Tokens().AccessToken))
	return other
}

// web reuses connections, as browsers do.
var web = &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute}

// visit is a client that tries nothing again.
func visit(url string, by http.RoundTripper) *client.Client {
	c, err := client.New(url, client.WithHTTPClient(&http.Client{Transport: by}), client.WithRetries(0), client.WithTimeout(20*time.Second))
	if err != nil {
		panic(err) // only a URL that is none
	}
	return c
}

// balancer takes a person's requests to a gateway. When that does not answer, or
// says that this was its connection's last answer, it turns to the next, as any
// balancer does.
type balancer struct {
	shop    *shop
	history *history
	mu      sync.Mutex
	gateway int
}

// RoundTrip sends a request and reads the answer. An error means that none came. A
// gateway where nobody listens is passed over.
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
	res, err := web.RoundTrip(out)
	if err != nil || res.Close {
		b.turnFrom(gateway)
	}
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}

// turnFrom goes to the next gateway, unless another hand of theirs did already.
func (b *balancer) turnFrom(gateway int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gateway == gateway {
		b.gateway++
	}
}

// answer is what came back; status 0 means that nothing did.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request once and returns the answer. An error means that none came.
func (p *person) do(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
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

func (p *person) logIn(ctx context.Context) error {
	return keepTrying(ctx, func() error {
		_, err := p.LogIn(ctx, p.email, p.password)
		return err
	})
}

func (p *person) register(ctx context.Context) error {
	return keepTrying(ctx, func() error {
		_, err := p.Register(ctx, client.NewAccount{Name: "Somebody", Email: p.email, Password: p.password}, client.Key(p.email))
		return err
	})
}

// sells puts a product with so many pieces on the shelf.
func (p *person) sells(ctx context.Context, sku string, pieces int) error {
	product := client.NewProduct{SKU: sku, Name: "Product " + sku, Price: client.Money{Amount: 295, Currency: "GBP"}}
	return errors.Join(keepTrying(ctx, func() error {
		_, err := p.CreateProduct(ctx, product, client.Key("product "+sku))
		return err
	}), keepTrying(ctx, func() error {
		_, err := p.SetStock(ctx, sku, int64(pieces))
		return err
	}))
}

// command is the id that the gateway gives to the command of a keyed request.
func (p *person) command(route, key string) string {
	return eventlog.DeriveID("http", p.Tokens().User.ID, route, key)
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only what cannot be JSON at all
	}
	return string(b)
}

// orderOf is the body of an order of some pieces.
func orderOf(sku string, pieces int) string {
	return fmt.Sprintf(`{"items":[{"sku":%q,"quantity":%d}]}`, sku, pieces)
}
