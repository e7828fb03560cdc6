package story

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"lonja/events/query"
	"lonja/test/harness"
)

// person is what the shop keeps on somebody, as they are told.
type person struct {
	Account query.UserExportView
	Orders  []query.OrderView
}

// Ana registers, changes her name, orders, asks what the shop knows of her, moves to another
// address, and leaves. What she bought stays, and nothing says that it was her.
func TestStory_APersonComesAndIsForgotten(t *testing.T) {
	data := t.TempDir()
	p, s := harness.Up(t, "--data", data)
	boss := s.Boss()
	boss.Sells("71053", 339, 10)

	ana := s.As("ana")
	var me query.UserView
	ana.Wants(200, "PATCH", "/api/users/me", map[string]string{"name": "Ana María", "locale": "es-MX"}, &me)
	if me.Name != "Ana María" || me.Locale != "es-MX" || me.Email != "ana@example.com" {
		t.Fatalf("she is %+v", me)
	}
	order := ana.Pays(ana.Places(harness.Pieces("71053", 2)))
	asksWhatIsKept(ana, me, order)
	id := "/api/users/" + string(me.ID)
	ben := s.As("ben")
	for _, path := range []string{id, id + "/export"} { // nobody else may ask, but for administrators
		ben.Wants(404, "GET", path, nil, nil)
		boss.Wants(200, "GET", path, nil, nil)
	}
	ben.Wants(403, "PATCH", id, map[string]string{"name": "Ben"}, nil)
	ben.Wants(403, "DELETE", id, map[string]string{"password": "password of ben"}, nil)

	movesTo(ana, "ana.maria@example.org")
	asksWhatWas(ana)
	leaves(ana)

	// Staff still see what was bought and paid, under an id that leads to nobody.
	var left query.OrderView
	boss.Wants(200, "GET", "/api/orders/"+string(order.ID), nil, &left)
	if left.Total != order.Total || left.Payment.Status != query.PaymentCaptured || left.CustomerID != me.ID {
		t.Errorf("her order is %+v", left)
	}
	for _, path := range []string{id, id + "/export"} {
		boss.Wants(404, "GET", path, nil, nil)
	}
	var listed query.List[query.UserView]
	if a := boss.Wants(200, "GET", "/api/users", nil, &listed); len(listed.Data) != 3 || strings.Contains(string(a.Body), "María") { // the boss, Ben, and who has her first address now
		t.Errorf("the accounts are %s", a.Body)
	}

	// Her last address is anybody's now. Who takes it is somebody else.
	stranger := registersSoon(s, "stranger", "ana.maria@example.org")
	var orders query.List[query.OrderView]
	var who query.UserView
	stranger.Wants(200, "GET", "/api/users/me", nil, &who)
	if stranger.Wants(200, "GET", "/api/orders", nil, &orders); who.ID == me.ID || who.Locale != "" || orders.Meta.Total != 0 {
		t.Errorf("%+v has %d orders", who, orders.Meta.Total)
	}
	if out := harness.Run(t, "audit", "--nats", p.Said["nats"], "--data", data); !strings.Contains(out, "\n0 violations") {
		t.Errorf("the audit says:\n%s", out)
	}
	p.Stop()
}

// asksWhatIsKept lets Ana export what the shop keeps on her.
func asksWhatIsKept(ana *harness.Person, me query.UserView, order query.OrderView) {
	ana.T.Helper()
	var kept person
	a := ana.Wants(200, "GET", "/api/users/me/export", nil, &kept)
	if got := kept.Account.User; got.ID != me.ID || got.Name != me.Name || got.Email != me.Email || got.Locale != me.Locale ||
		kept.Account.RegisteredAt.IsZero() || len(kept.Account.Sessions) != 1 {
		ana.T.Errorf("kept of the account: %+v", kept.Account)
	}
	if len(kept.Orders) != 1 || kept.Orders[0].ID != order.ID || kept.Orders[0].Payment == nil || kept.Orders[0].Payment.Status != query.PaymentCaptured {
		ana.T.Errorf("kept of orders: %+v", kept.Orders)
	}
	if name := a.Header.Get("Content-Disposition"); name != `attachment; filename="`+string(me.ID)+`.json"` {
		ana.T.Errorf("the file is %s", name)
	}
}

// movesTo gives Ana another address. Her old one is free then, and Ana's neighbour takes it.
func movesTo(ana *harness.Person, email string) {
	ana.T.Helper()
	move := func(password string) map[string]string {
		return map[string]string{"email": email, "password": password}
	}
	ana.Wants(422, "PUT", "/api/users/me/email", map[string]string{"email": email}, nil)
	ana.Wants(403, "PUT", "/api/users/me/email", move("guessed"), nil)
	ana.Wants(409, "PUT", "/api/users/me/email", map[string]string{"email": "ben@example.com", "password": "password of ana"}, nil)
	var moved query.UserView
	ana.Wants(200, "PUT", "/api/users/me/email", move("password of ana"), &moved)
	if moved.Email != email || moved.Name != "Ana María" {
		ana.T.Errorf("she is %+v", moved)
	}
	again := ana.LogIn(email, "password of ana")
	again.Wants(200, "GET", "/api/users/me", nil, &moved)
	if moved.Email != email {
		ana.T.Errorf("logged in as %+v", moved)
	}
	registersSoon(ana.Shop, "neighbour", "ana@example.com")
	if status := (&harness.Person{Shop: ana.Shop, Name: "ana"}).Status("POST", "/api/auth/login", map[string]string{"email": "ana@example.com", "password": "password of ana"}); status != 401 {
		ana.T.Errorf("with the old address she logs in with %d", status)
	}
}

// asksWhatWas lets Ana export what she was called before, and where she had her mail.
func asksWhatWas(ana *harness.Person) {
	ana.T.Helper()
	var kept person
	ana.Wants(200, "GET", "/api/users/me/export", nil, &kept)
	names, emails := map[string]bool{}, map[string]bool{}
	for _, e := range kept.Account.History {
		names[e.Name], emails[e.Email] = true, true
		if e.At.IsZero() || e.Event == "" {
			ana.T.Errorf("kept of the past: %+v", e)
		}
	}
	if !names["ana"] || !names["Ana María"] || !emails["ana@example.com"] || !emails["ana.maria@example.org"] {
		ana.T.Errorf("kept of the past: %+v", kept.Account.History)
	}
}

// registersSoon registers somebody with an address that somebody else had a moment ago.
func registersSoon(s *harness.Shop, name, email string) *harness.Person {
	s.T.Helper()
	p := &harness.Person{Shop: s, Name: name}
	account := map[string]string{"name": name, "email": email, "password": "password of " + name}
	harness.Eventually(s.T, func() error {
		if status := p.Status("POST", "/api/auth/register", account); status != http.StatusCreated {
			return fmt.Errorf("%s registers with %s: %d", name, email, status)
		}
		return nil
	})
	return s.LogIn(email, "password of "+name)
}

// leaves erases Ana's account. Nothing that she held opens anything then.
func leaves(ana *harness.Person) {
	ana.T.Helper()
	ana.Wants(422, "DELETE", "/api/users/me", nil, nil)
	ana.Wants(403, "DELETE", "/api/users/me", map[string]string{"password": "guessed"}, nil)
	ana.Wants(204, "DELETE", "/api/users/me", map[string]string{"password": "password of ana"}, nil)
	// identity knows at once. The gateway asks for revocations, and learns of this one within a second.
	for _, path := range []string{"/api/users/me", "/api/orders"} {
		harness.Eventually(ana.T, func() error {
			if status := ana.Status("GET", path, nil); status != http.StatusUnauthorized {
				return fmt.Errorf("her access token is not revoked: GET %s: %d", path, status)
			}
			return nil
		})
	}
	ana.Wants(401, "DELETE", "/api/users/me", map[string]string{"password": "password of ana"}, nil)
	ana.Wants(401, "POST", "/api/auth/refresh", map[string]string{"refresh_token": ana.Refresh}, nil)
	ana.Wants(401, "POST", "/api/auth/login", map[string]string{"email": "ana.maria@example.org", "password": "password of ana"}, nil)
}
