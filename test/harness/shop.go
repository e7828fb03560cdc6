package harness

import (
	"fmt"
	"net/http"
	"testing"

	"lonja/events"
	"lonja/events/query"
)

// Shop is a running shop, as its customers and staff see it: an HTTP address. [At]
// makes one.
type Shop struct {
	T    *testing.T
	URL  string
	http *http.Client // checks all answers
}

// Person is a customer or a member of staff. They send along the consistency token
// of their last answer, so they see what they did.
type Person struct {
	*Shop
	Name    string
	Token   string // access token
	Refresh string
	After   string // consistency token
}

// AdminEmail and AdminPassword are those of the administrator of every shop here.
const (
	AdminEmail    = "boss@shop.example"
	AdminPassword = "a long enough password"
)

// At returns the shop at an address.
func At(t *testing.T, url string) *Shop { return &Shop{t, url, checked(t, url)} }

// LogIn returns a person who has an account.
func (s *Shop) LogIn(email, password string) *Person {
	s.T.Helper()
	p := &Person{Shop: s, Name: email}
	var tokens query.Tokens
	p.Wants(200, "POST", "/api/auth/login", map[string]string{"email": email, "password": password}, &tokens)
	p.Token, p.Refresh = tokens.AccessToken, tokens.RefreshToken
	return p
}

// As registers a new customer, NAME@example.com, and returns them.
func (s *Shop) As(name string) *Person {
	s.T.Helper()
	p := &Person{Shop: s, Name: name}
	var tokens query.Tokens
	p.Wants(201, "POST", "/api/auth/register", map[string]string{"name": name, "email": name + "@example.com", "password": "password of " + name}, &tokens)
	p.Token, p.Refresh = tokens.AccessToken, tokens.RefreshToken
	return p
}

// At returns the same person at another gateway, without their consistency token.
func (p *Person) At(gateway string) *Person {
	return &Person{Shop: At(p.T, gateway), Name: p.Name, Token: p.Token, Refresh: p.Refresh}
}

// Refreshes exchanges the refresh token; the person goes on with the new tokens.
func (p *Person) Refreshes() query.Tokens {
	p.T.Helper()
	var tokens query.Tokens
	p.Wants(200, "POST", "/api/auth/refresh", map[string]string{"refresh_token": p.Refresh}, &tokens)
	p.Token, p.Refresh = tokens.AccessToken, tokens.RefreshToken
	return tokens
}

// LogsOut ends the session.
func (p *Person) LogsOut() {
	p.T.Helper()
	p.Wants(204, "POST", "/api/auth/logout", map[string]string{"refresh_token": p.Refresh}, nil)
}

// Boss logs the administrator in.
func (s *Shop) Boss() *Person {
	s.T.Helper()
	return s.LogIn(AdminEmail, AdminPassword)
}

// Sells creates a product, with its price in pence, and counts its stock. The
// person is an administrator.
func (p *Person) Sells(sku string, price, pieces int64) {
	p.T.Helper()
	p.Wants(201, "POST", "/api/products", map[string]any{"sku": sku, "name": "Product " + sku,
		"price": events.Money{Amount: price, Currency: "GBP"}}, nil)
	p.Wants(200, "PUT", "/api/products/"+sku+"/stock", map[string]any{"on_hand": pieces}, nil)
}

// Places places an order and waits until it awaits payment or is cancelled.
func (p *Person) Places(lines ...events.Quantity) query.OrderView {
	p.T.Helper()
	var o query.OrderView
	p.Wants(201, "POST", "/api/orders", map[string]any{"items": lines}, &o, "Prefer", "wait=10")
	return o
}

// Pays pays an order in the sandbox and waits until it is paid.
func (p *Person) Pays(o query.OrderView) query.OrderView {
	p.T.Helper()
	p.settles(o, "pay")
	// An order and its payment are told by two streams, in no order between them.
	return p.Sees(o.ID, func(o query.OrderView) bool {
		return o.Status == query.Paid && o.Payment.Status != query.PaymentPending
	})
}

// settles lets an attempt to pay for an order end in the sandbox: "pay" or "decline".
func (p *Person) settles(o query.OrderView, outcome string) {
	p.T.Helper()
	o = p.Sees(o.ID, func(o query.OrderView) bool { return o.Payment != nil && o.Payment.URL != "" })
	(&Person{Shop: p.Shop, Name: "the sandbox"}).Wants(200, "POST", "/sandbox/payments/"+string(o.Payment.ID), map[string]string{"outcome": outcome}, nil)
}

// Declines has an attempt to pay for an order declined in the sandbox, and waits until the order
// shows that.
func (p *Person) Declines(o query.OrderView) query.OrderView {
	p.T.Helper()
	p.settles(o, "decline")
	return p.Sees(o.ID, func(o query.OrderView) bool {
		return len(o.Payment.Attempts) > 0 && o.Payment.Attempts[len(o.Payment.Attempts)-1].Status == query.AttemptDeclined
	})
}

// TriesAgain asks for another attempt to pay for an order.
func (p *Person) TriesAgain(o query.OrderView) query.OrderView {
	p.T.Helper()
	var again query.OrderView
	p.Wants(201, "POST", "/api/orders/"+string(o.ID)+"/payments", map[string]string{}, &again, "Prefer", "wait=10")
	return again
}

// Cancels cancels an order that is not paid, and waits until its payment is voided.
func (p *Person) Cancels(o query.OrderView) query.OrderView {
	p.T.Helper()
	p.Wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": query.Cancelled}, nil)
	return p.Sees(o.ID, func(o query.OrderView) bool { return o.Payment.Status == query.PaymentVoided })
}

// Sees reads an order until it is as expected, for ten seconds at most.
func (p *Person) Sees(id events.OrderID, expected func(query.OrderView) bool) query.OrderView {
	p.T.Helper()
	var o query.OrderView
	Eventually(p.T, func() error {
		o = query.OrderView{}
		p.Wants(200, "GET", "/api/orders/"+string(id), nil, &o)
		if !expected(o) {
			return fmt.Errorf("%s sees %+v, payment %+v", p.Name, o, o.Payment)
		}
		return nil
	})
	return o
}

// Pieces is one line of an order.
func Pieces(sku string, n int64) events.Quantity {
	return events.Quantity{SKU: events.SKU(sku), Quantity: n}
}

// Order is the body of an order of n pieces.
func Order(sku string, n int64) map[string]any {
	return map[string]any{"items": []events.Quantity{Pieces(sku, n)}}
}

// Attempt is one order that a customer tried to place.
type Attempt struct {
	Key string         // Idempotency-Key
	ID  events.OrderID // "" unless it was acknowledged
}
