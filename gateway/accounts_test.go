package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// exports answers for identity, and for orders with n orders of Ana's. Placed is how many more
// she has placed when a page is asked for.
func (f *testShop) exports(n int, placed func(page int) int) {
	f.fake("queries.identity.export", func(m *nats.Msg) any {
		var q query.UserExport
		_ = json.Unmarshal(m.Data, &q)
		return query.UserExportView{User: query.UserView{ID: q.UserID, Name: "Ana", Email: "ana@example.com", Roles: []string{events.Customer}}, Sessions: []query.SessionView{}, History: []query.AccountEvent{}}
	})
	asked := 0
	f.fake("queries.orders.orders", func(m *nats.Msg) any {
		var q query.Orders
		if err := json.Unmarshal(m.Data, &q); err != nil || q.Customer != "usr_ana" {
			return errs.New(errs.Invalid, "asked for %s", m.Data)
		}
		section, err := query.SectionOf[int](q.Page, "orders of usr_ana")
		if err != nil || section.Offset != 0 {
			return errs.New(errs.Invalid, "asked for page %+v: %v", q.Page, err)
		}
		if asked++; q.Page.Page == 1 {
			asked = 1
		}
		extra := placed(asked)
		if extra < 0 {
			return errs.New(errs.Unavailable, "orders is away")
		}
		next := n + extra
		if section.Begins != nil {
			next = *section.Begins - 1
		}
		var page []query.OrderView
		for ; next > 0 && len(page) < section.Limit; next-- {
			page = append(page, query.OrderView{ID: events.OrderID(fmt.Sprint("ord_", next)), Status: query.Paid, CustomerID: q.Customer, Items: []events.OrderItem{{Name: strings.Repeat("n", 900)}}})
		}
		return query.NewList(page, n+extra, section, section.Next(next+1, next > 0))
	})
}

type exported struct {
	Account query.UserExportView
	Orders  []query.OrderView
}

func TestExport_IsOneDocumentOfEveryService(t *testing.T) {
	for name, n := range map[string]int{"nothing": 0, "one page": 20, "a page and one": 21, "more than the buffer": 1_000} {
		t.Run(name, func(t *testing.T) {
			shop := open(t)
			shop.exports(n, func(int) int { return 0 })
			var doc exported
			r := shop.do("GET", "/api/users/me/export", nil, "Authorization", shop.ana()).expect(200, &doc)
			if doc.Account.User.ID != "usr_ana" || doc.Account.User.Email != "ana@example.com" || len(doc.Orders) != n || doc.Orders == nil {
				t.Errorf("%d orders of %+v", len(doc.Orders), doc.Account)
			}
			for i, o := range doc.Orders {
				if o.ID != events.OrderID(fmt.Sprint("ord_", n-i)) {
					t.Fatalf("order %d is %s", i, o.ID)
				}
			}
			if name := r.Header.Get("Content-Disposition"); name != `attachment; filename="usr_ana.json"` {
				t.Errorf("it is %s", name)
			}
		})
	}
}

// What a person sent while a service was away is kept for a week, and so it is exported: what it
// was, and what became of it.
func TestExport_HasDeferredCommands(t *testing.T) {
	shop := open(t)
	sent := map[string]string{}
	for _, who := range []string{"usr_ana", "usr_bob", "usr_ana"} {
		body := fmt.Sprintf(`{"items":[{"sku":"A","quantity":%d}]}`, len(sent)+1)
		r := shop.do("POST", "/api/orders", body, "Authorization", shop.as(who, events.Customer)).expect(202, nil)
		sent[strings.TrimPrefix(r.Header.Get("Location"), "/api/commands/")] = who + " " + body
	}
	shop.exports(0, func(int) int { return 0 })
	type command struct {
		ID, Command, Status string
		Body                json.RawMessage
		Problem             *problem
	}
	export := func() []command {
		var doc struct {
			Commands []command `json:"deferred_commands"`
		}
		shop.do("GET", "/api/users/me/export", nil, "Authorization", shop.ana()).expect(200, &doc)
		return doc.Commands
	}
	commands := export()
	if len(commands) != 2 {
		t.Fatalf("%+v", commands)
	}
	for _, c := range commands {
		if "usr_ana "+string(c.Body) != sent[c.ID] || c.Command != "orders.place" || c.Status != bus.OutcomePending {
			t.Errorf("%+v with %s; want %s", c, c.Body, sent[c.ID])
		}
	}
	rejected, err := json.Marshal(bus.Outcome{ID: commands[1].ID, Status: bus.OutcomeRejected, Problem: errs.New(errs.NotFound, "nobody sells A")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shop.JS.Publish(t.Context(), bus.OutcomeSubject(commands[1].ID), rejected); err != nil {
		t.Fatal(err)
	}
	if c := export()[1]; c.Status != bus.OutcomeRejected || c.Problem == nil || c.Problem.Detail != "nobody sells A" || c.Problem.Status != 404 {
		t.Errorf("%+v", c)
	}
}

// What is placed while it is written does not make an order come twice or not at all.
func TestExport_OrdersArePlacedMeanwhile(t *testing.T) {
	shop := open(t)
	shop.exports(100, func(page int) int { return 3 * (page - 1) })
	var doc exported
	shop.do("GET", "/api/users/me/export", nil, "Authorization", shop.ana()).expect(200, &doc)
	for i, o := range doc.Orders {
		if o.ID != events.OrderID(fmt.Sprint("ord_", 100-i)) {
			t.Fatalf("order %d is %s", i, o.ID)
		}
	}
	if len(doc.Orders) != 100 {
		t.Errorf("%d orders", len(doc.Orders))
	}
}

// Half an export is worse than none: it looks complete.
func TestExport_IsAllOrNothing(t *testing.T) {
	shop := open(t)
	get := func() *response {
		return shop.do("GET", "/api/users/usr_ana/export", nil, "Authorization", shop.as("usr_boss", events.Admin))
	}
	get().expectProblem(503, errs.Unavailable, "") // nobody is there
	shop.exports(1_000, func(page int) int {
		if page == 3 {
			return -1
		}
		return 0
	})
	if r := get(); r.Header.Get("Content-Disposition") != "" {
		t.Errorf("a problem is no attachment: %v", r.Header)
	}
	get().expectProblem(503, errs.Unavailable, "")
	shop.stopFake("queries.orders.orders")
	get().expectProblem(503, errs.Unavailable, "")
	shop.fake("queries.identity.export", func(*nats.Msg) any { return errs.New(errs.NotFound, "there is no such user") })
	shop.stopFake("queries.identity.export")
}

// When a service fails after the response has begun, the client notices.
func TestExport_LargeOneBreaksOff(t *testing.T) {
	shop := open(t)
	shop.exports(1_000, func(page int) int {
		if page == 40 {
			return -1
		}
		return 0
	})
	req, err := http.NewRequestWithContext(t.Context(), "GET", shop.server.URL+"/api/users/me/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", shop.ana())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil || resp.StatusCode != 200 {
		t.Errorf("%d with %d bytes, complete", resp.StatusCode, len(body))
	}
}

// Commands of accounts hold passwords and addresses, so they are not left lying about while
// identity is away. What goes on a stream is what the services record.
func TestAccounts_CommandsAreNeverDeferred(t *testing.T) {
	shop := open(t)
	for method, path := range map[string]string{"PATCH": "/api/users/me", "PUT": "/api/users/me/email", "DELETE": "/api/users/me"} {
		body := map[string]string{"PATCH": `{"name":"Ana"}`, "PUT": `{"email":"a@example.org","password":"p"}`, "DELETE": `{"password":"p"}`}[method]
		shop.do(method, path, body, "Authorization", shop.ana(), "Idempotency-Key", "k").expectProblem(503, errs.Unavailable, "")
		shop.do(method, path, body).expectProblem(401, errs.Unauthenticated, "")
	}
	stream, err := shop.JS.Stream(t.Context(), bus.DeferredStream)
	if err != nil || stream.CachedInfo().State.Msgs != 0 {
		t.Errorf("a command was deferred (%v)", err)
	}
}

// Guessing a password with a stolen access token is slowed down like a login: identity is told
// where from. The same key is the same command.
func TestAccounts_PasswordsAreGuessedAtThePaceOfLogins(t *testing.T) {
	shop := open(t)
	sent := make(chan eventlog.Envelope, 9)
	for _, name := range []string{"change_email", "erase"} {
		shop.fake("commands.identity."+name, func(m *nats.Msg) any {
			sent <- header(m)
			return errs.TooManyRequests(7e9)
		})
	}
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/api/users/me/email", `{"email":"a@example.org","password":"p"}`}, {"DELETE", "/api/users/me", `{"password":"p"}`},
	} {
		for range 2 {
			r := shop.do(c.method, c.path, c.body, "Authorization", shop.ana(), "Idempotency-Key", "k")
			r.expectProblem(429, errs.RateLimited, "")
			if r.Header.Get("Retry-After") != "7" {
				t.Errorf("%v", r.Header)
			}
		}
		first, again := <-sent, <-sent
		if first.Actor.ClientNetwork == "" || first.ID != again.ID || first.Actor.ID != "usr_ana" {
			t.Errorf("%s sent %+v, then %+v", c.path, first, again)
		}
	}
}
