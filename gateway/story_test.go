package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/services/catalog"
	"lonja/services/identity"
	"lonja/services/inventory"
	"lonja/services/orders"
	"lonja/services/payments"
	"lonja/services/receipts"
	"lonja/shop"
	"lonja/shop/shoptest"
)

// wholeShop has all services, identity's own keys, and somebody signed in.
type wholeShop struct {
	*testShop
	admin string // an Authorization header
}

func openWhole(t testing.TB) *wholeShop {
	t.Helper()
	config := ownMachine
	config.Services = shop.Names()
	f := openWith(t, config, catalog.New(), inventory.New(inventory.Config{}), orders.New(orders.Config{}), payments.New(payments.Config{Providers: []payments.Provider{payments.Sandbox()}}), receipts.New(receipts.Config{}))
	f.stopFake("queries.identity.keys")
	f.Run(identity.New(identity.Config{AdminEmail: "admin@example.com", AdminPassword: "a long password"}), "a", t.TempDir())
	s := &wholeShop{testShop: f}
	var tokens query.Tokens
	f.do("POST", "/api/auth/login", `{"email":"admin@example.com","password":"a long password"}`).expect(200, &tokens)
	s.admin = "Bearer " + tokens.AccessToken
	return s
}

// registers opens an account and returns its Authorization header.
func (s *wholeShop) registers(name string) (authorization string, tokens query.Tokens) {
	s.t.Helper()
	s.do("POST", "/api/auth/register", map[string]string{"name": name, "email": name + "@example.com", "password": "correct horse"},
		"Idempotency-Key", "register-"+name).expect(201, &tokens)
	return "Bearer " + tokens.AccessToken, tokens
}

// stocks sells a product, with pieces on hand.
func (s *wholeShop) stocks(sku string, price int64, pieces int) (seen string) {
	s.t.Helper()
	r := s.do("POST", "/api/products", events.Product{SKU: events.SKU(sku), Name: "Lantern " + sku, Price: events.Money{Amount: price, Currency: "GBP"}},
		"Authorization", s.admin).expect(201, nil)
	r = s.do("PUT", "/api/products/"+sku+"/stock", map[string]int{"on_hand": pieces}, "Authorization", s.admin,
		"Consistency-Token", r.Header.Get("Consistency-Token")).expect(200, nil)
	return r.Header.Get("Consistency-Token")
}

func TestStock_RequiresAProduct(t *testing.T) {
	shop := openWhole(t)
	count, adjust := `{"on_hand":7}`, `{"delta":7,"reason":"found"}`
	shop.do("PUT", "/api/products/TYPO/stock", count, "Authorization", shop.admin).expectProblem(404, errs.NotFound, "")
	shop.do("POST", "/api/products/TYPO/stock/adjustments", adjust, "Authorization", shop.admin).expectProblem(404, errs.NotFound, "")
	shop.do("GET", "/api/products/TYPO/stock", nil).expectProblem(404, errs.NotFound, "")
	// What was created a moment ago is there, with no token to say so.
	for _, sku := range []string{"A", "B", "C"} {
		shop.do("POST", "/api/products", `{"sku":"`+sku+`","name":"Lamp","price":{"amount":1,"currency":"GBP"}}`, "Authorization", shop.admin).expect(201, nil)
		shop.do("PUT", "/api/products/"+sku+"/stock", count, "Authorization", shop.admin).expect(200, nil)
		shop.do("POST", "/api/products/"+sku+"/stock/adjustments", adjust, "Authorization", shop.admin).expect(200, nil)
	}
}

func TestOrder_FreeOneNeedsNoPayment(t *testing.T) {
	shop := openWhole(t)
	seen := shop.stocks("gift", 0, 10)
	ana, _ := shop.registers("ana")
	places := func() (path string, order query.OrderView) {
		r := shop.do("POST", "/api/orders", `{"items":[{"sku":"gift","quantity":2}]}`, "Authorization", ana,
			"Consistency-Token", seen, "Prefer", "wait=10").expect(201, &order)
		if order.Status != query.Paid || order.Payment != nil || order.Total.Amount != 0 {
			t.Fatalf("ordered %s", r.body)
		}
		return r.Header.Get("Location"), order
	}
	path, _ := places()
	shop.do("PATCH", path, `{"status":"shipped"}`, "Authorization", shop.admin).expect(200, nil)

	path, order := places()
	// A cancellation that overtakes the payment has the goods released, not returned.
	shoptest.Await(shop.Shop, func(e events.StockCommitted) bool { return e.OrderID == order.ID })
	shop.do("PATCH", path, `{"status":"cancelled"}`, "Authorization", ana).expect(200, nil)
	shoptest.Await(shop.Shop, func(e events.PaymentVoided) bool { return e.OrderID == order.ID })
	shoptest.Await(shop.Shop, func(e events.StockReturned) bool { return e.OrderID == order.ID })
	var timeline []query.TimelineEntry
	shop.do("GET", path+"/timeline", nil, "Authorization", ana, "Consistency-Token", shop.latest("PAYMENTS")).expect(200, &timeline)
	for _, f := range timeline {
		if f.Stream == "PAYMENTS" && f.Type != "lonja.payment.voided.v1" {
			t.Errorf("money moved for nothing: %+v", f)
		}
	}
}

func TestOrder_PlacedPaidShippedDelivered(t *testing.T) {
	shop := openWhole(t)
	seen := shop.stocks("71053", 339, 10)
	ana, tokens := shop.registers("ana")
	bob, _ := shop.registers("bob")

	// Ana orders, and is told where to pay.
	var order query.OrderView
	r := shop.do("POST", "/api/orders", `{"items":[{"sku":"71053","quantity":2}]}`, "Authorization", ana,
		"Consistency-Token", seen, "Idempotency-Key", "o1", "Prefer", "wait=10").expect(201, &order)
	if order.Status != query.AwaitingPayment || order.Total.Amount != 678 || order.CustomerID != tokens.User.ID ||
		r.Header.Get("Preference-Applied") != "wait=10" || r.Header.Get("Location") != "/api/orders/"+string(order.ID) {
		t.Fatalf("ordered %s %v", r.body, r.Header)
	}
	// The same request again changes nothing; another with its key is refused.
	again := shop.do("POST", "/api/orders", `{"items":[{"sku":"71053","quantity":2}]}`, "Authorization", ana, "Idempotency-Key", "o1").expect(201, nil)
	if again.Header.Get("Idempotent-Replayed") != "true" || again.Header.Get("Location") != r.Header.Get("Location") {
		t.Errorf("replayed %v", again.Header)
	}
	shop.do("POST", "/api/orders", `{"items":[{"sku":"71053","quantity":3}]}`, "Authorization", ana, "Idempotency-Key", "o1").
		expectProblem(422, errs.Invalid, "Idempotency-Key")
	path := r.Header.Get("Location")
	shop.do("GET", path, nil, "Authorization", bob).expectProblem(404, errs.NotFound, "*")
	shop.do("GET", path+"/stream", nil, "Authorization", bob).expectProblem(404, errs.NotFound, "*")
	shop.do("PATCH", path, `{"status":"shipped"}`, "Authorization", ana).expectProblem(403, errs.Forbidden, "*")
	shop.do("PATCH", path, `{"status":"shipped"}`, "Authorization", shop.admin).expectProblem(409, errs.Conflict, "*")

	if p := shop.do("GET", path+"/receipt", nil, "Authorization", ana).expectProblem(404, errs.NotFound, "*"); !strings.HasSuffix(p.Detail, "has no receipt, since it is not paid") {
		t.Errorf("no receipt because of %q", p.Detail)
	}

	// She pays on the sandbox's page.
	var awaiting query.OrderView
	shop.awaitPayment(path, ana, &awaiting)
	payPage := strings.TrimPrefix(awaiting.Payment.URL, shop.server.URL)
	if !strings.HasPrefix(payPage, "/sandbox/payments/") {
		t.Fatalf("pay at %q", awaiting.Payment.URL)
	}
	if page := string(shop.do("GET", payPage, nil).expect(200, nil).body); !strings.Contains(page, "6.78") || !strings.Contains(page, `value="pay"`) {
		t.Fatalf("page %s", page)
	}
	paid := shop.do("POST", payPage, "outcome=pay", "Content-Type", "application/x-www-form-urlencoded").expect(http.StatusSeeOther, nil)
	back := paid.Header.Get("Location")
	if page := string(shop.do("GET", back, nil).expect(200, nil).body); !strings.Contains(page, "Paid") || strings.Contains(page, "<button") {
		t.Fatalf("page afterwards %s", page)
	}
	shop.do("POST", payPage, "outcome=decline", "Content-Type", "application/x-www-form-urlencoded").expect(409, nil)

	// Only she and staff get the receipt, once the order is paid.
	shoptest.Await(shop.Shop, func(e events.OrderPaid) bool { return e.OrderID == order.ID })
	for _, who := range []string{ana, shop.admin} {
		receipt := string(shop.do("GET", path+"/receipt", nil, "Authorization", who, "Accept", "text/html").expect(200, nil).body)
		if !strings.Contains(receipt, "Receipt <span>1</span>") || !strings.Contains(receipt, "£6.78") {
			t.Errorf("receipt %s", receipt)
		}
	}
	shop.do("GET", path+"/receipt", nil, "Authorization", bob).expectProblem(404, errs.NotFound, "*")

	// It is shipped and delivered, and Ana has followed it all along.
	shoptest.Await(shop.Shop, func(e events.OrderPaid) bool { return e.OrderID == order.ID })
	for _, status := range []string{query.Shipped, query.Delivered} {
		var moved query.OrderView
		shop.do("PATCH", path, map[string]string{"status": status}, "Authorization", shop.admin,
			"Consistency-Token", paid.Header.Get("Consistency-Token")).expect(200, &moved)
		if moved.Status != status || moved.Payment == nil || moved.Payment.Status != query.PaymentCaptured {
			t.Fatalf("%s: %+v", status, moved)
		}
	}
	followed := shop.do("GET", path+"/stream", nil, "Authorization", ana).expect(200, nil)
	got := statusesOf(string(followed.body))
	if want := "placed awaiting_payment paid shipped delivered"; strings.Join(got, " ") != want {
		t.Errorf("followed %v\n%s", got, followed.body)
	}
	shoptest.Await(shop.Shop, func(e events.StockCommitted) bool { return e.OrderID == order.ID })
	settled := shop.latest("INVENTORY")
	var timeline []query.TimelineEntry
	shop.do("GET", path+"/timeline", nil, "Authorization", ana, "Consistency-Token", settled).expect(200, &timeline)
	if len(timeline) < 8 || timeline[0].Type != "lonja.order.placed.v1" {
		t.Errorf("timeline %+v", timeline)
	}
	var level query.StockView
	shop.do("GET", "/api/products/71053/stock", nil, "Consistency-Token", settled).expect(200, &level)
	if level.OnHand != 8 || level.Reserved != 0 {
		t.Errorf("stock %+v", level)
	}
	var mine query.List[query.OrderView]
	shop.do("GET", "/api/orders?status=delivered", nil, "Authorization", ana).expect(200, &mine)
	if mine.Meta.Total != 1 || mine.Data[0].ID != order.ID {
		t.Errorf("orders %+v", mine)
	}
}

// awaitPayment reads an order until it says where to pay: payments answers a
// moment after orders.
func (s *wholeShop) awaitPayment(path, who string, order *query.OrderView) {
	s.t.Helper()
	shoptest.Await(s.Shop, func(e events.PaymentRequested) bool { return strings.HasSuffix(path, string(e.OrderID)) })
	s.do("GET", path, nil, "Authorization", who, "Consistency-Token", s.latest("PAYMENTS")).expect(200, order)
	if order.Payment == nil {
		s.t.Fatalf("no payment in %+v", order)
	}
}

// latest is the token of all that a stream holds now.
func (s *wholeShop) latest(stream string) string {
	s.t.Helper()
	info, err := s.JS.Stream(s.t.Context(), stream)
	if err != nil {
		s.t.Fatal(err)
	}
	return eventlog.Position(stream, info.CachedInfo().State.LastSeq)
}

func TestAccount_FromRegistrationToLogout(t *testing.T) {
	shop := openWhole(t)
	body := `{"name":"Ana","email":"Ana@example.com","password":"correct horse"}`
	var first, again, newer query.Tokens
	shop.do("POST", "/api/auth/register", body, "Idempotency-Key", "k").expect(201, &first)
	r := shop.do("POST", "/api/auth/register", body, "Idempotency-Key", "k").expect(201, &again)
	if again.RefreshToken != first.RefreshToken || again.User.ID != first.User.ID || r.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("replayed %s", r.body)
	}
	if r.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(r.Header.Get("Consistency-Token"), "IDENTITY:") {
		t.Errorf("headers %v", r.Header)
	}
	shop.do("POST", "/api/auth/register", body).expectProblem(409, errs.Conflict, "*")
	shop.do("POST", "/api/auth/register", strings.Replace(body, "horse", "house", 1), "Idempotency-Key", "k").expectProblem(422, errs.Invalid, "Idempotency-Key")
	for _, wrong := range []string{`{"email":"ana@example.com","password":"wrong horse"}`, `{"email":"eve@example.com","password":"correct horse"}`} {
		shop.do("POST", "/api/auth/login", wrong).expectProblem(401, errs.Unauthenticated, "*")
	}
	var who struct{ User query.UserView }
	shop.do("GET", "/api/auth/verify", nil, "Authorization", "Bearer "+first.AccessToken, "Consistency-Token", r.Header.Get("Consistency-Token")).expect(200, &who)
	if who.User.Email != "ana@example.com" {
		t.Errorf("verified %+v", who)
	}

	refresh := func(token string) *response {
		return shop.do("POST", "/api/auth/refresh", map[string]string{"refresh_token": token})
	}
	refresh(first.RefreshToken).expect(200, &newer)
	refresh(first.RefreshToken).expect(200, &again)
	if again.RefreshToken != newer.RefreshToken {
		t.Error("a repeated refresh has another successor")
	}
	refresh(newer.RefreshToken).expect(200, &again)
	refresh(first.RefreshToken).expectProblem(401, errs.Unauthenticated, "*") // its successor was used: the family is dead
	refresh(again.RefreshToken).expectProblem(401, errs.Unauthenticated, "*")
	shop.do("POST", "/api/auth/login", `{"email":"ana@example.com","password":"correct horse"}`).expect(200, &newer)
	if out := shop.do("POST", "/api/auth/logout", map[string]string{"refresh_token": newer.RefreshToken}).expect(204, nil); len(out.body) != 0 {
		t.Errorf("logout said %s", out.body)
	}
	refresh(newer.RefreshToken).expectProblem(401, errs.Unauthenticated, "*")

	// The administrator makes her staff. That revokes her access token; the next
	// one says so.
	shop.do("POST", "/api/auth/login", `{"email":"ana@example.com","password":"correct horse"}`).expect(200, &first)
	var users query.List[query.UserView]
	shop.do("GET", "/api/users?email="+url.QueryEscape("ana@example.com"), nil, "Authorization", shop.admin).expect(200, &users)
	if users.Meta.Total != 1 {
		t.Fatalf("users %+v", users)
	}
	roles := "/api/users/" + string(users.Data[0].ID) + "/roles"
	shop.do("PUT", roles, `{"roles":["staff"]}`, "Authorization", "Bearer "+first.AccessToken).expectProblem(403, errs.Forbidden, "*")
	var staff query.UserView
	shop.do("PUT", roles, `{"roles":["customer","staff"]}`, "Authorization", shop.admin).expect(200, &staff)
	if len(staff.Roles) != 2 {
		t.Errorf("made staff %+v", staff)
	}
	refresh(first.RefreshToken).expect(200, &newer)
	if len(newer.User.Roles) != 2 {
		t.Errorf("refreshed %+v", newer.User)
	}
	shop.do("GET", "/api/users", nil, "Authorization", "Bearer "+newer.AccessToken).expectProblem(403, errs.Forbidden, "*")
}

func TestIdempotencyKey_IsForOneRequest(t *testing.T) {
	shop := openWhole(t)
	create := func(sku string) *response {
		return shop.do("POST", "/api/products", `{"sku":"`+sku+`","name":"Lamp","price":{"amount":1,"currency":"GBP"}}`, "Authorization", shop.admin, "Idempotency-Key", "p")
	}
	first := create("A").expect(201, nil)
	again := create("A").expect(201, nil)
	if string(first.body) != string(again.body) || again.Header.Get("Idempotent-Replayed") != "true" || first.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%s\n%s %v", first.body, again.body, again.Header)
	}
	create("B").expectProblem(422, errs.Invalid, "Idempotency-Key")

	adjust := func(sku string) *response {
		return shop.do("POST", "/api/products/"+sku+"/stock/adjustments", `{"delta":5,"reason":"found"}`, "Authorization", shop.admin,
			"Idempotency-Key", "p", "Consistency-Token", first.Header.Get("Consistency-Token"))
	}
	adjust("A").expect(200, nil)
	var level query.StockView
	adjust("A").expect(200, &level)
	if level.OnHand != 5 {
		t.Errorf("adjusted twice: %+v", level)
	}
	adjust("C").expectProblem(422, errs.Invalid, "Idempotency-Key")

	for _, bad := range []string{"", strings.Repeat("k", 256), "kä", "a\tb"} {
		shop.doKeys(bad).expectProblem(422, errs.Invalid, "Idempotency-Key")
	}
	shop.doKeys("a", "b").expectProblem(422, errs.Invalid, "Idempotency-Key")
}

// doKeys creates a product with keys as they are, empty ones, too.
func (s *wholeShop) doKeys(keys ...string) *response {
	s.t.Helper()
	s.keys = keys
	defer func() { s.keys = nil }()
	return s.do("POST", "/api/products", `{"sku":"K","name":"Lamp","price":{"amount":1,"currency":"GBP"}}`, "Authorization", s.admin)
}

// Whatever is searched for, it is words: never a query of the search's own
// language.
func TestSearch_TermsAreWordsOnly(t *testing.T) {
	shop := openWith(t, gateway.Config{}, catalog.New())
	for _, q := range []string{`"`, `""`, `*`, `a"b`, `AND`, `a OR`, `NEAR(`, `name:x`, `-`, `^`, `'`, `;--`, `(((`, "💡", "%", "\t", "a\u2028b"} {
		r := shop.do("GET", "/api/products?q="+url.QueryEscape(q), nil)
		if r.StatusCode != 200 {
			t.Errorf("%q: %d %s", q, r.StatusCode, r.body)
		}
	}
	shop.do("GET", "/api/products?q=%ff%fe", nil).expectProblem(422, errs.Invalid, "q")
}

// Who is not signed in shares no keys with others, and a key that was used when
// all strangers shared them still gives the same answer.
func TestIdempotencyKey_AnonymousCallersMaySendTheSame(t *testing.T) {
	shop := openWhole(t)
	body := func(name, password string) map[string]string {
		return map[string]string{"name": name, "email": name + "@example.com", "password": password}
	}
	register := func(name, password, key string) *response {
		return shop.do("POST", "/api/auth/register", body(name, password), "Idempotency-Key", key)
	}
	var first, again query.Tokens
	for _, name := range []string{"ana", "bob", "eve"} {
		if r := register(name, "correct horse", "1").expect(201, &first); r.Header.Get("Idempotent-Replayed") != "" || first.User.Name != name {
			t.Errorf("%s: %v %s", name, r.Header, r.body)
		}
		if r := register(name, "correct horse", "1").expect(201, &again); r.Header.Get("Idempotent-Replayed") != "true" || again.RefreshToken != first.RefreshToken {
			t.Errorf("%s again: %v %s", name, r.Header, r.body)
		}
	}
	register("ana", "another horse", "1").expectProblem(422, errs.Invalid, "Idempotency-Key")
	register("ana", "correct horse", "2").expectProblem(409, errs.Conflict, "")

	id := eventlog.DeriveID("http", "", "POST /api/auth/register", "3") // as it was
	old := command.RegisterUser{Name: "old", Email: "old@example.com", Password: "correct horse"}
	for _, sent := range []struct {
		id  string
		cmd command.Command
	}{{id, old}, {eventlog.DeriveID(id, "session"), command.LogIn{Email: old.Email, Password: old.Password}}} {
		reply, err := shop.Send(t.Context(), sent.cmd, eventlog.Envelope{ID: sent.id})
		if err != nil {
			t.Fatal(err)
		}
		if sent.id != id {
			if err := json.Unmarshal(reply.Body, &first); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r := register("old", "correct horse", "3").expect(201, &again); r.Header.Get("Idempotent-Replayed") != "true" || again.RefreshToken != first.RefreshToken {
		t.Errorf("the old key: %v %s", r.Header, r.body)
	}
	register("old", "another horse", "3").expectProblem(409, errs.Conflict, "")
	register("new", "correct horse", "3").expect(201, nil)
}
