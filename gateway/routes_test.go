package gateway_test

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// What each route sends where, and what it makes of the answer.
func TestRoutes_SendTheirCommand(t *testing.T) {
	shop := open(t)
	const lamp = `{"sku":"A","name":"Lamp","price":{"amount":295,"currency":"GBP"}}`
	tests := []struct {
		method, path, body string
		subject, sent      string
		status             int
		location           string
	}{
		{"POST", "/api/products", lamp, "commands.catalog.create", lamp, 201, "/api/products/A"},
		{"PATCH", "/api/products/A", `{"category":"light"}`, "commands.catalog.change", `{"sku":"A","category":"light"}`, 200, ""},
		{"PATCH", "/api/products/A", `{"price":{"amount":0,"currency":"GBP"}}`, "commands.catalog.change", `{"sku":"A","price":{"amount":0,"currency":"GBP"}}`, 200, ""},
		{"PATCH", "/api/products/A", `{"available":true}`, "commands.catalog.change", `{"sku":"A","available":true}`, 200, ""},
		{"DELETE", "/api/products/A", "", "commands.catalog.archive", `{"sku":"A"}`, 204, ""},
		{"PUT", "/api/products/A/stock", `{"on_hand":0}`, "commands.inventory.count", `{"sku":"A","on_hand":0}`, 200, ""},
		{"POST", "/api/products/A/stock/adjustments", `{"delta":-2,"reason":"broken"}`, "commands.inventory.adjust", `{"sku":"A","delta":-2,"reason":"broken"}`, 200, ""},
		{"POST", "/api/orders", `{"items":[{"sku":"A","quantity":2}]}`, "commands.orders.place", `{"items":[{"sku":"A","quantity":2}]}`, 201, "/api/orders/entity"},
		{"POST", "/api/orders", `{"items":[{"sku":"A","quantity":2,"unit_price":{"amount":0,"currency":"GBP"}}]}`, "commands.orders.place",
			`{"items":[{"sku":"A","quantity":2,"unit_price":{"amount":0,"currency":"GBP"}}]}`, 201, "/api/orders/entity"},
		{"POST", "/api/orders/ord_1/refunds", `{}`, "commands.orders.refund", `{"order_id":"ord_1"}`, 201, "/api/orders/ord_1/refunds"},
		{"POST", "/api/orders/ord_1/refunds", `{"amount":{"amount":295,"currency":"GBP"},"reason":"late"}`, "commands.orders.refund",
			`{"order_id":"ord_1","amount":{"amount":295,"currency":"GBP"},"reason":"late"}`, 201, "/api/orders/ord_1/refunds"},
		{"POST", "/api/orders/ord_1/refunds", `{"lines":[{"sku":"A","quantity":2,"restock":true},{"sku":"A","quantity":1}]}`, "commands.orders.refund",
			`{"order_id":"ord_1","lines":[{"sku":"A","quantity":2,"restock":true},{"sku":"A","quantity":1}]}`, 201, "/api/orders/ord_1/refunds"},
		{"POST", "/api/orders/ord_1/refunds/ref_1/retry", "", "commands.orders.retry_refund", `{"order_id":"ord_1","refund_id":"ref_1"}`, 200, ""},
		{"POST", "/api/auth/login", `{"email":"a@example.com","password":"p"}`, "commands.identity.login", `{"email":"a@example.com","password":"p"}`, 200, ""},
		{"POST", "/api/auth/refresh", `{"refresh_token":"r"}`, "commands.identity.refresh", `{"refresh_token":"r"}`, 200, ""},
		{"POST", "/api/auth/logout", `{"refresh_token":"r"}`, "commands.identity.logout", `{"refresh_token":"r"}`, 204, ""},
		{"PATCH", "/api/users/me", `{"name":"Ana"}`, "commands.identity.change_profile", `{"user_id":"usr_staff","name":"Ana"}`, 200, ""},
		{"PATCH", "/api/users/usr_1", `{"locale":""}`, "commands.identity.change_profile", `{"user_id":"usr_1","locale":""}`, 200, ""},
		{"PUT", "/api/users/me/email", `{"email":"a@example.org","password":"p"}`, "commands.identity.change_email", `{"user_id":"usr_staff","email":"a@example.org","password":"p"}`, 200, ""},
		{"PUT", "/api/users/usr_1/email", `{"email":"a@example.org"}`, "commands.identity.change_email", `{"user_id":"usr_1","email":"a@example.org"}`, 200, ""},
		{"DELETE", "/api/users/me", `{"password":"p"}`, "commands.identity.erase", `{"user_id":"usr_staff","password":"p"}`, 204, ""},
		{"DELETE", "/api/users/usr_1", "", "commands.identity.erase", `{"user_id":"usr_1"}`, 204, ""},
		{"PUT", "/api/users/usr_1/roles", `{"roles":["staff"]}`, "commands.identity.set_roles", `{"user_id":"usr_1","roles":["staff"]}`, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			heard := make(chan *nats.Msg, 1)
			shop.fake(tt.subject, func(m *nats.Msg) any {
				heard <- m
				return receipt{entity: "entity", position: "S:7", body: json.RawMessage(`{"as": "it came"}`)}
			})
			defer shop.stopFake(tt.subject)
			r := shop.do(tt.method, tt.path, tt.body, "Authorization", shop.staff()).expect(tt.status, nil)
			if sent := <-heard; string(sent.Data) != tt.sent || header(sent).ID == "" {
				t.Errorf("sent %s %v", sent.Data, sent.Header)
			}
			want := `{"as":"it came"}`
			if tt.status == 204 {
				want = ""
			}
			if string(r.body) != want || r.Header.Get("Consistency-Token") != "S:7" || r.Header.Get("Location") != tt.location || r.Header.Get("Idempotent-Replayed") != "" {
				t.Errorf("answered %s %v", r.body, r.Header)
			}
		})
	}
}

func TestRoutes_SendTheirQuery(t *testing.T) {
	shop := open(t)
	origin := `"origin":"` + shop.server.URL + `"`
	tests := []struct{ path, subject, sent string }{
		{"/api/products", "catalog.products", `{"page":1,"limit":20}`},
		{"/api/products?q=a+b&category=c%26d&page=3&limit=100", "catalog.products", `{"q":"a b","category":"c\u0026d","page":3,"limit":100}`},
		{"/api/products?limit=7&after=cursor", "catalog.products", `{"page":0,"limit":7,"after":"cursor"}`},
		{"/api/orders?page=2&after=cursor", "orders.orders", `{` + origin + `,"page":2,"limit":20,"after":"cursor"}`}, // which orders rejects
		{"/api/products/A", "catalog.product", `{"sku":"A"}`},
		{"/api/products/A/stock", "inventory.stock", `{"sku":"A"}`},
		{"/api/orders?status=paid", "orders.orders", `{"status":"paid",` + origin + `,"page":1,"limit":20}`},
		{"/api/orders/ord_1", "orders.order", `{"order_id":"ord_1",` + origin + `}`},
		{"/api/orders/ord_1/refunds", "orders.refunds", `{"order_id":"ord_1"}`},
		{"/api/orders/ord_1/timeline", "orders.timeline", `{"order_id":"ord_1"}`},
		{"/api/users/me", "identity.user", `{"user_id":"usr_staff"}`},
		{"/api/users/usr_1", "identity.user", `{"user_id":"usr_1"}`},
		{"/api/users?email=a%40example.com", "identity.users", `{"email":"a@example.com","page":1,"limit":20}`},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			heard := make(chan string, 1)
			shop.fake("queries."+tt.subject, func(m *nats.Msg) any { heard <- string(m.Data); return []int{7} })
			defer shop.stopFake("queries." + tt.subject)
			r := shop.do("GET", tt.path, nil, "Authorization", shop.staff()).expect(200, nil)
			if sent := <-heard; sent != tt.sent || string(r.body) != "[7]" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("sent %s, answered %s %v", sent, r.body, r.Header)
			}
		})
	}
}

// Registering is two commands, and the same request is the same two again.
func TestRegister_LogsIn(t *testing.T) {
	shop := open(t)
	registered, loggedIn := make(chan eventlog.Envelope, 9), make(chan eventlog.Envelope, 9)
	shop.fake("commands.identity.register", func(m *nats.Msg) any {
		registered <- header(m)
		return receipt{entity: "usr_1", position: "IDENTITY:4", body: query.UserView{ID: "usr_1"}, replayed: len(registered) > 1}
	})
	shop.fake("commands.identity.login", func(m *nats.Msg) any {
		var c command.LogIn
		_ = json.Unmarshal(m.Data, &c)
		loggedIn <- header(m)
		return receipt{entity: "ses_1", position: "IDENTITY:5", body: query.Tokens{AccessToken: c.Email + " " + c.Password}}
	})
	const ana = `{"name":"Ana","email":"ana@example.com","password":"correct horse"}`
	var tokens query.Tokens
	r := shop.do("POST", "/api/auth/register", ana, "Idempotency-Key", "k").expect(201, &tokens)
	if tokens.AccessToken != "ana@example.com correct horse" || r.Header.Get("Consistency-Token") != "IDENTITY:5" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", r.body, r.Header)
	}
	r = shop.do("POST", "/api/auth/register", ana, "Idempotency-Key", "k").expect(201, nil)
	if r.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%v", r.Header)
	}
	first, second := <-registered, <-registered
	firstLogin, secondLogin := <-loggedIn, <-loggedIn
	if first.ID != second.ID || firstLogin.ID != secondLogin.ID || firstLogin.ID == first.ID {
		t.Errorf("ids %s %s, %s %s", first.ID, second.ID, firstLogin.ID, secondLogin.ID)
	}
	if firstLogin.After != "IDENTITY:4" || firstLogin.Correlation != first.Correlation {
		t.Errorf("logged in with %+v", firstLogin)
	}
}

// Whether a key was used when all strangers shared them is not said before it is
// known: who is told to come back is not told of a conflict.
func TestRegister_RateLimitHidesNoConflict(t *testing.T) {
	shop := open(t)
	for code, status := range map[errs.Code]int{errs.RateLimited: 429, errs.Unavailable: 503, errs.Invalid: 409} {
		asked := false
		shop.fake("commands.identity.register", func(*nats.Msg) any {
			if asked {
				return &errs.Error{Code: code, Detail: "no", RetryAfter: 7}
			}
			asked = true
			return errs.New(errs.Conflict, "there is an account with this address already")
		})
		r := shop.do("POST", "/api/auth/register", `{"name":"Ana","email":"ana@example.com","password":"correct horse"}`, "Idempotency-Key", "k").expect(status, nil)
		if again := r.Header.Get("Retry-After"); (again != "") != (status != 409) {
			t.Errorf("%d with Retry-After %q", status, again)
		}
		shop.stopFake("commands.identity.register")
	}
}
