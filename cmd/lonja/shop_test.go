package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"lonja/client"
	"lonja/events"
	"lonja/events/query"
)

// shop is a lonja that serves HTTP, as its customers and staff see it.
type shop struct {
	t   *testing.T
	url string
}

// person is somebody who uses the shop. They remember the consistency token,
// so they see what they did.
type person struct {
	*shop
	name    string
	token   string // access token
	refresh string
	after   string // consistency token
}

const (
	adminEmail    = "boss@shop.example"
	adminPassword = "a long enough password"
)

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request once and reads the answer, whatever it is.
func (p *person) do(method, path string, body any, headers ...string) (answer, error) {
	c, err := client.New(p.url, client.WithAccessToken(p.token), client.WithConsistency(p.after), client.WithTimeout(0))
	if err != nil {
		return answer{}, err
	}
	r := client.Request{Method: method, Path: path, Header: http.Header{}}
	switch b := body.(type) {
	case nil:
	case string:
		r.Body = []byte(b)
	default:
		if r.Body, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(p.t.Context(), r)
	if err != nil {
		return answer{}, err
	}
	p.after = c.Consistency()
	return answer{res.StatusCode, res.Header, res.Body}, nil
}

// wants sends a request and fails the test unless the status is as wanted. The
// answer is decoded into out, which may be nil.
func (p *person) wants(status int, method, path string, body, out any, headers ...string) answer {
	p.t.Helper()
	a, err := p.do(method, path, body, headers...)
	if err != nil {
		p.t.Fatalf("%s: %s %s: %v", p.name, method, path, err)
	}
	if a.status != status {
		p.t.Fatalf("%s: %s %s: got %d, want %d: %s", p.name, method, path, a.status, status, a.body)
	}
	if out != nil {
		if err := json.Unmarshal(a.body, out); err != nil {
			p.t.Fatalf("%s: %s %s: %v in %s", p.name, method, path, err, a.body)
		}
	}
	return a
}

// logIn is a person who has an account.
func (s *shop) logIn(email, password string) *person {
	s.t.Helper()
	p := &person{shop: s, name: email}
	var tokens query.Tokens
	p.wants(200, "POST", "/api/auth/login", map[string]string{"email": email, "password": password}, &tokens)
	p.token, p.refresh = tokens.AccessToken, tokens.RefreshToken
	return p
}

// as is a new customer of this name.
func (s *shop) as(name string) *person {
	s.t.Helper()
	p := &person{shop: s, name: name}
	var tokens query.Tokens
	p.wants(201, "POST", "/api/auth/register", map[string]string{"name": name, "email": name + "@example.com", "password": "password of " + name}, &tokens)
	p.token, p.refresh = tokens.AccessToken, tokens.RefreshToken
	return p
}

// boss is the administrator.
func (s *shop) boss() *person {
	s.t.Helper()
	return s.logIn(adminEmail, adminPassword)
}

// sells puts a product with so many pieces on the shelf.
func (p *person) sells(sku string, price, pieces int64) {
	p.t.Helper()
	p.wants(201, "POST", "/api/products", map[string]any{"sku": sku, "name": "Product " + sku,
		"price": events.Money{Amount: price, Currency: "GBP"}}, nil)
	p.wants(200, "PUT", "/api/products/"+sku+"/stock", map[string]any{"on_hand": pieces}, nil)
}

// places places an order and waits until it awaits payment or is cancelled.
func (p *person) places(lines ...events.Quantity) query.OrderView {
	p.t.Helper()
	var o query.OrderView
	p.wants(201, "POST", "/api/orders", map[string]any{"items": lines}, &o, "Prefer", "wait=10")
	return o
}

// pays pays an order's payment in the sandbox and waits until the order is paid.
func (p *person) pays(o query.OrderView) query.OrderView {
	p.t.Helper()
	return p.settles(o, "pay", query.Paid)
}

func (p *person) settles(o query.OrderView, outcome, status string) query.OrderView {
	p.t.Helper()
	o = p.sees(o.ID, func(o query.OrderView) bool { return o.Payment != nil })
	(&person{shop: p.shop, name: "the sandbox"}).wants(200, "POST", strings.TrimPrefix(o.Payment.URL, p.url), map[string]string{"outcome": outcome}, nil)
	// An order and its payment are told by two streams, in no order between them.
	return p.sees(o.ID, func(o query.OrderView) bool {
		return o.Status == status && o.Payment.Status != query.PaymentPending
	})
}

// sees reads an order until it is as expected, for ten seconds at most.
func (p *person) sees(id events.OrderID, expected func(query.OrderView) bool) query.OrderView {
	p.t.Helper()
	var o query.OrderView
	eventually(p.t, func() error {
		o = query.OrderView{}
		p.wants(200, "GET", "/api/orders/"+string(id), nil, &o)
		if !expected(o) {
			return fmt.Errorf("%s sees %+v, payment %+v", p.name, o, o.Payment)
		}
		return nil
	})
	return o
}

// eventually tries until there is no error, for ten seconds at most.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	within(t, 10*time.Second, try)
}

// within tries until there is no error, for as long as is given.
func within(t *testing.T, patience time.Duration, try func() error) {
	t.Helper()
	if err := tryWithin(patience, try); err != nil {
		t.Fatal(err)
	}
}

// tryWithin tries until there is no error, and returns the last one when there
// is no more time.
func tryWithin(patience time.Duration, try func() error) error {
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}

func pieces(sku string, n int64) events.Quantity {
	return events.Quantity{SKU: events.SKU(sku), Quantity: n}
}
