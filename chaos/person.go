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

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
)

// web is everybody's HTTP client. It reuses connections, as browsers do.
var web = &http.Client{
	Timeout:   20 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute},
}

// person is somebody who uses the shop. When a gateway does not answer, or says
// that this was its connection's last answer, they turn to the next, as any
// balancer does.
type person struct {
	shop     *shop
	history  *history
	email    string
	password string
	mu       sync.Mutex
	id       string
	token    string
	after    string // consistency token
	gateway  int
}

// answer is what came back; status 0 means that nothing did.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func readAll(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// do sends a request and reads the answer. An error means that none came. A
// gateway where nobody listens is passed over.
func (p *person) do(ctx context.Context, method, path, body string, headers ...string) (a answer, err error) {
	for range p.shop.gateways {
		if a, err = p.send(ctx, method, path, body, headers); !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
	}
	if err != nil {
		p.history.answered(method, 0, err.Error())
		return a, err
	}
	p.history.answered(method, a.status, path+" "+string(a.body))
	p.mu.Lock()
	defer p.mu.Unlock()
	if token := a.header.Get("Consistency-Token"); token != "" {
		p.after = token
	}
	return a, nil
}

func (p *person) send(ctx context.Context, method, path, body string, headers []string) (answer, error) {
	p.mu.Lock()
	gateway, token, after := p.gateway, p.token, p.after
	p.mu.Unlock()
	url := p.shop.gateways[gateway%len(p.shop.gateways)]
	req, err := http.NewRequestWithContext(ctx, method, url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		headers = append(headers, "Content-Type", "application/json")
	}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	headers = append(headers, "Consistency-Token", after)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := web.Do(req)
	if err != nil || resp.Close {
		p.turnFrom(gateway)
	}
	if err != nil {
		return answer{}, err
	}
	read, err := readAll(resp)
	return answer{resp.StatusCode, resp.Header, read}, err
}

// turnFrom goes to the next gateway, unless another hand of theirs did already.
func (p *person) turnFrom(gateway int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gateway == gateway {
		p.gateway++
	}
}

// wants sends a request until it is answered as wanted, for a minute at most.
func (p *person) wants(ctx context.Context, status int, method, path, body string, into any, headers ...string) error {
	return eventually(ctx, time.Minute, func() error {
		a, err := p.do(ctx, method, path, body, headers...)
		if err != nil {
			return err
		}
		if a.status != status {
			return fmt.Errorf("%s %s: got %d, want %d: %s", method, path, a.status, status, a.body)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(a.body, into)
	})
}

func (p *person) logIn(ctx context.Context) error {
	var t query.Tokens
	err := p.wants(ctx, 200, "POST", "/api/auth/login", asJSON(map[string]string{"email": p.email, "password": p.password}), &t)
	return p.signedIn(t, err)
}

func (p *person) register(ctx context.Context) error {
	var t query.Tokens
	body := asJSON(map[string]string{"name": "Somebody", "email": p.email, "password": p.password})
	err := p.wants(ctx, 201, "POST", "/api/auth/register", body, &t, "Idempotency-Key", p.email)
	return p.signedIn(t, err)
}

func (p *person) signedIn(t query.Tokens, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.token, p.id = t.AccessToken, string(t.User.ID)
	}
	return err
}

// sells puts a product with so many pieces on the shelf.
func (p *person) sells(ctx context.Context, sku string, pieces int) error {
	body := asJSON(map[string]any{"sku": sku, "name": "Product " + sku, "price": events.Money{Amount: 295, Currency: "GBP"}})
	if err := p.wants(ctx, 201, "POST", "/api/products", body, nil, "Idempotency-Key", "product "+sku); err != nil {
		return err
	}
	return p.wants(ctx, 200, "PUT", "/api/products/"+sku+"/stock", fmt.Sprintf(`{"on_hand":%d}`, pieces), nil)
}

// sees reads an order.
func (p *person) sees(ctx context.Context, id string) (o query.OrderView, err error) {
	a, err := p.do(ctx, "GET", "/api/orders/"+id, "")
	if err != nil {
		return o, err
	}
	if a.status != 200 {
		return o, fmt.Errorf("GET order: %d %s", a.status, a.body)
	}
	return o, json.Unmarshal(a.body, &o)
}

// command is the id that the gateway gives to the command of a keyed request.
func (p *person) command(route, key string) string {
	return eventlog.DeriveID("http", p.id, route, key)
}

func asJSON(v any) string {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		panic(err) // only what cannot be JSON at all
	}
	return strings.TrimSpace(b.String())
}

// orderOf is the body of an order of some pieces.
func orderOf(sku string, pieces int) string {
	return fmt.Sprintf(`{"items":[{"sku":%q,"quantity":%d}]}`, sku, pieces)
}
