package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/kit/errs"
)

// What must never reach a service, and what is said of it.
func TestBadInput_ProblemNamesTheField(t *testing.T) {
	shop := open(t)
	digits := strings.Repeat("9", 100)
	product := func(change string) string {
		return `{"sku":"A","name":"Lamp","price":{"amount":1,"currency":"GBP"}` + change + `}`
	}
	price := func(price string) string { return `{"sku":"A","name":"Lamp","price":` + price + `}` }
	order := func(items string) string { return `{"items":` + items + `}` }
	tests := []struct {
		name, method, path, body string
		status                   int
		field                    string
	}{
		{"no body", "POST", "/api/products", "", 400, ""},
		{"no JSON", "POST", "/api/products", "name=Lamp", 400, ""},
		{"cut off", "POST", "/api/products", `{"sku":"A"`, 400, ""},
		{"two values", "POST", "/api/products", product("") + product(""), 400, ""},
		{"deep nesting", "POST", "/api/products", strings.Repeat("[", 20_000), 400, ""},
		{"a list", "POST", "/api/products", `[]`, 422, ""},
		{"null", "POST", "/api/products", `null`, 422, ""},
		{"a string", "POST", "/api/products", `"x"`, 422, ""},
		{"nothing in it", "POST", "/api/products", `{}`, 422, "name"},
		{"unknown field", "POST", "/api/products", product(`,"colour":"red"`), 422, "colour"},
		{"unknown field that is an object", "POST", "/api/products", product(`,"colour":{"name":["red"]}`), 422, "colour"},
		{"unknown field with a long name", "POST", "/api/products", product(`,"` + strings.Repeat("x", 9_000) + `":1`), 422, strings.Repeat("x", 80) + "…"},
		{"field in another case", "POST", "/api/products", product(`,"Description":"red"`), 422, "Description"},
		{"field twice", "POST", "/api/products", product(`,"name":"Desk"`), 422, "name"},
		{"field of a field twice", "POST", "/api/products", price(`{"amount":1,"amount":2,"currency":"GBP"}`), 422, "price.amount"},
		{"name that is no UTF-8", "POST", "/api/products", product(",\"description\":\"\xe9\""), 400, ""},
		{"name of half a surrogate pair", "POST", "/api/products", product(`,"description":"\ud83d"`), 400, ""},
		{"byte order mark", "POST", "/api/products", "\ufeff" + product(""), 400, ""},
		{"wrong type", "POST", "/api/products", `{"sku":5,"name":"Lamp","price":{"amount":1,"currency":"GBP"}}`, 422, "sku"},
		{"price missing", "POST", "/api/products", `{"sku":"A","name":"Lamp"}`, 422, "price"},
		{"price null", "POST", "/api/products", price(`null`), 422, "price"},
		{"amount missing", "POST", "/api/products", price(`{"currency":"GBP"}`), 422, "price.amount"},
		{"amount a string", "POST", "/api/products", price(`{"amount":"1","currency":"GBP"}`), 422, "price.amount"},
		{"amount negative", "POST", "/api/products", price(`{"amount":-1,"currency":"GBP"}`), 422, "price.amount"},
		{"amount too large", "POST", "/api/products", price(`{"amount":9007199254740993,"currency":"GBP"}`), 422, "price.amount"},
		{"amount overflows", "POST", "/api/products", price(`{"amount":9223372036854775808,"currency":"GBP"}`), 422, "price.amount"},
		{"amount of 100 digits", "POST", "/api/products", price(`{"amount":` + digits + `,"currency":"GBP"}`), 422, "price.amount"},
		{"amount beyond floats", "POST", "/api/products", price(`{"amount":1e999,"currency":"GBP"}`), 422, "price.amount"},
		{"amount with a fraction", "POST", "/api/products", price(`{"amount":1.5,"currency":"GBP"}`), 422, "price.amount"},
		{"currency unknown", "POST", "/api/products", price(`{"amount":1,"currency":"XXQ"}`), 422, "price.currency"},
		{"SKU with a dot", "POST", "/api/products", `{"sku":"a.b","name":"Lamp","price":{"amount":1,"currency":"GBP"}}`, 422, "sku"},
		{"SKU with a wildcard", "POST", "/api/products", `{"sku":">","name":"Lamp","price":{"amount":1,"currency":"GBP"}}`, 422, "sku"},
		{"SKU too long", "POST", "/api/products", `{"sku":"` + strings.Repeat("a", 65) + `","name":"Lamp","price":{"amount":1,"currency":"GBP"}}`, 422, "sku"},
		{"name with a control character", "POST", "/api/products", `{"sku":"A","name":"La\u0000mp","price":{"amount":1,"currency":"GBP"}}`, 422, "name"},
		{"description too long", "POST", "/api/products", product(`,"description":"` + strings.Repeat("d", 10_001) + `"`), 422, "description"},
		{"a body of 1 MB and a byte", "POST", "/api/products", strings.Repeat(" ", 1<<20+1), 413, ""},

		{"hostile SKU", "GET", "/api/products/a.b", "", 404, ""},
		{"SKU that climbs", "GET", "/api/products/..%2F..%2Fetc", "", 404, ""},
		{"SKU with a line end", "GET", "/api/products/a%0D%0Ab", "", 404, ""},
		{"SKU with a wildcard in the path", "DELETE", "/api/products/%3E", "", 404, ""},
		{"SKU of 65 characters", "PATCH", "/api/products/" + strings.Repeat("a", 65), "{}", 404, ""},
		{"hostile SKU's stock", "PUT", "/api/products/*/stock", `{"on_hand":1}`, 404, ""},
		{"change with an unknown field", "PATCH", "/api/products/A", `{"sku":"B"}`, 422, "sku"},
		{"change with half a price", "PATCH", "/api/products/A", `{"price":{"currency":"GBP"}}`, 422, "price.amount"},

		{"unknown parameter", "GET", "/api/products?sort=price", "", 422, "sort"},
		{"unknown parameter without a value", "GET", "/api/products?sort", "", 422, "sort"},
		{"parameter in another case", "GET", "/api/products?Page=2", "", 422, "Page"},
		{"parameter twice", "GET", "/api/products?page=1&page=2", "", 422, "page"},
		{"parameter of another route", "GET", "/api/products/A?page=2", "", 422, "page"},
		{"parameter of a write", "POST", "/api/products?dry_run=1", product(""), 422, "dry_run"},
		{"parameter of a page", "GET", "/api/orders/ord_1/stream?after=1", "", 422, "after"},
		{"parameter of the sandbox", "GET", "/sandbox/payments/pay_1?outcome=pay", "", 422, "outcome"},
		{"too many parameters", "GET", "/api/products?" + strings.Repeat("a&", 2_000), "", 400, ""},
		{"query that is not encoded", "GET", "/api/products?page=%zz", "", 400, ""},
		{"query with semicolons", "GET", "/api/products?page=1;limit=2", "", 400, ""},
		{"page 0", "GET", "/api/products?page=0", "", 422, "page"},
		{"page that overflows", "GET", "/api/products?page=9223372036854775807", "", 422, "page"},
		{"page of 100 digits", "GET", "/api/products?page=" + digits, "", 422, "page"},
		{"limit 0", "GET", "/api/products?limit=0", "", 422, "limit"},
		{"limit 101", "GET", "/api/products?limit=101", "", 422, "limit"},
		{"limit no number", "GET", "/api/products?limit=many", "", 422, "limit"},
		{"search with a zero", "GET", "/api/products?q=a%00b", "", 422, "q"},
		{"search that is not UTF-8", "GET", "/api/products?q=%ff%fe", "", 422, "q"},
		{"search too long", "GET", "/api/products?q=" + strings.Repeat("q", 201), "", 422, "q"},

		{"stock missing", "PUT", "/api/products/A/stock", `{}`, 422, "on_hand"},
		{"stock negative", "PUT", "/api/products/A/stock", `{"on_hand":-1}`, 422, "on_hand"},
		{"stock too large", "PUT", "/api/products/A/stock", `{"on_hand":1000000001}`, 422, "on_hand"},
		{"stock of 100 digits", "PUT", "/api/products/A/stock", `{"on_hand":` + digits + `}`, 422, "on_hand"},
		{"adjustment of nothing", "POST", "/api/products/A/stock/adjustments", `{"delta":0,"reason":"x"}`, 422, "delta"},
		{"adjustment without reason", "POST", "/api/products/A/stock/adjustments", `{"delta":1}`, 422, "reason"},

		{"no items", "POST", "/api/orders", order(`[]`), 422, "items"},
		{"items null", "POST", "/api/orders", order(`null`), 422, "items"},
		{"items missing", "POST", "/api/orders", `{}`, 422, "items"},
		{"quantity 0", "POST", "/api/orders", order(`[{"sku":"A","quantity":1},{"sku":"A","quantity":0}]`), 422, "items[1].quantity"},
		{"quantity negative", "POST", "/api/orders", order(`[{"sku":"A","quantity":-1}]`), 422, "items[0].quantity"},
		{"quantity overflows", "POST", "/api/orders", order(`[{"sku":"A","quantity":9223372036854775808}]`), 422, "items[0].quantity"},
		{"quantity of 100 digits", "POST", "/api/orders", order(`[{"sku":"A","quantity":` + digits + `}]`), 422, "items[0].quantity"},
		{"quantity missing", "POST", "/api/orders", order(`[{"sku":"A"}]`), 422, "items[0].quantity"},
		{"hostile SKU in an order", "POST", "/api/orders", order(`[{"sku":"A.>","quantity":1}]`), 422, "items[0].sku"},
		{"unknown field in an order", "POST", "/api/orders", order(`[{"sku":"A","quantity":1,"price":1}]`), 422, "items[0].price"},
		{"price seen negative", "POST", "/api/orders", order(`[{"sku":"A","quantity":1,"unit_price":{"amount":-1,"currency":"GBP"}}]`), 422, "items[0].unit_price.amount"},
		{"price seen without a currency", "POST", "/api/orders", order(`[{"sku":"A","quantity":1,"unit_price":{"amount":1}}]`), 422, "items[0].unit_price.currency"},
		{"1001 items", "POST", "/api/orders", order(`[{"sku":"A","quantity":1}` + strings.Repeat(`,{"sku":"A","quantity":1}`, 1000) + `]`), 422, "items"},
		{"hostile order", "GET", "/api/orders/ord_1.>", "", 404, ""},
		{"hostile order's timeline", "GET", "/api/orders/%2A/timeline", "", 404, ""},
		{"hostile order's stream", "GET", "/api/orders/%2A/stream", "", 404, ""},
		{"hostile payment", "GET", "/sandbox/payments/%3E", "", 404, ""},
		{"status unknown", "GET", "/api/orders?status=lost", "", 422, "status"},
		{"move to a status that is none", "PATCH", "/api/orders/ord_1", `{"status":"paid"}`, 422, "status"},

		{"no address", "POST", "/api/auth/register", `{"name":"Ana","email":"ana","password":"correct horse"}`, 422, "email"},
		{"short password", "POST", "/api/auth/register", `{"name":"Ana","email":"ana@example.com","password":"horse"}`, 422, "password"},
		{"password a number", "POST", "/api/auth/login", `{"email":"ana@example.com","password":12345678}`, 422, "password"},
		{"no refresh token", "POST", "/api/auth/refresh", `{}`, 422, "refresh_token"},
		{"roles empty", "PUT", "/api/users/usr_1/roles", `{"roles":[]}`, 422, "roles"},
		{"role unknown", "PUT", "/api/users/usr_1/roles", `{"roles":["customer","king"]}`, 422, "roles[1]"},
		{"hostile user", "GET", "/api/users/usr_1.%3E", "", 404, ""},
		{"hostile user's export", "GET", "/api/users/*/export", "", 404, ""},
		{"hostile user erased", "DELETE", "/api/users/%3E", `{"password":"p"}`, 404, ""},
		{"profile of nothing", "PATCH", "/api/users/me", `{}`, 422, "name"},
		{"profile without a body", "PATCH", "/api/users/me", "", 400, ""},
		{"name empty", "PATCH", "/api/users/me", `{"name":""}`, 422, "name"},
		{"name of 201 characters", "PATCH", "/api/users/me", `{"name":"` + strings.Repeat("n", 201) + `"}`, 422, "name"},
		{"locale that is none", "PATCH", "/api/users/me", `{"locale":"spanish please"}`, 422, "locale"},
		{"email in a profile", "PATCH", "/api/users/me", `{"email":"a@example.com"}`, 422, "email"},
		{"no address to change to", "PUT", "/api/users/me/email", `{"password":"p"}`, 422, "email"},
		{"address that is none", "PUT", "/api/users/me/email", `{"email":"ana"}`, 422, "email"},
		{"password too long", "DELETE", "/api/users/me", `{"password":"` + strings.Repeat("p", 1_001) + `"}`, 422, "password"},
		{"erasure with an unknown field", "DELETE", "/api/users/me", `{"pass":"p"}`, 422, "pass"},
		{"outcome unknown", "POST", "/sandbox/payments/pay_1", `{"outcome":"steal"}`, 422, "outcome"},
		{"outcome missing", "POST", "/sandbox/payments/pay_1", `{}`, 422, "outcome"},

		{"nothing there", "GET", "/api/nothing", "", 404, ""},
		{"nothing there, and a slash", "GET", "/api/nothing/", "", 404, ""},
	}
	codes := map[int]errs.Code{404: errs.NotFound}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code := errs.Invalid
			if c, ok := codes[tt.status]; ok {
				code = c
			}
			r := shop.do(tt.method, tt.path, tt.body, "Authorization", shop.staff())
			r.t = t
			r.expectProblem(tt.status, code, tt.field)
		})
	}
}

func TestBadInput_WrongMethodsAndMediaTypesAreProblems(t *testing.T) {
	shop := open(t)
	r := shop.do("PUT", "/api/products", "{}")
	r.expectProblem(405, errs.Invalid, "")
	if allow := r.Header.Get("Allow"); allow != "GET, HEAD, POST" {
		t.Errorf("Allow: %q", allow)
	}
	for _, ct := range []string{"text/plain", "application/x-www-form-urlencoded", "application/xml; x", ";"} {
		shop.do("POST", "/api/auth/login", "{}", "Content-Type", ct).expectProblem(415, errs.Invalid, "Content-Type")
	}
	shop.do("POST", "/api/auth/login", "{}", "Content-Type", "application/json", "Content-Type", "text/plain").
		expectProblem(415, errs.Invalid, "Content-Type")
	for _, ct := range []string{"application/json; charset=utf-8", `application/json;charset="UTF-8"`, "Application/JSON"} {
		shop.do("POST", "/api/auth/login", "{}", "Content-Type", ct).expectProblem(422, errs.Invalid, "email")
	}
	for _, ct := range []string{"application/json; charset=iso-8859-1", "application/json; charset=utf-16", "application/json; charset="} {
		shop.do("POST", "/api/auth/login", "{}", "Content-Type", ct).expectProblem(415, errs.Invalid, "Content-Type")
	}
	shop.do("POST", "/sandbox/payments/pay_1", "outcome=pay", "Content-Type", "application/x-www-form-urlencoded; charset=windows-1252").
		expectProblem(415, errs.Invalid, "Content-Type")
	compressed := shop.do("POST", "/api/auth/login", "\x1f\x8b\x08", "Content-Encoding", "gzip")
	if p := compressed.expectProblem(415, errs.Invalid, "Content-Encoding"); compressed.Header.Get("Accept-Encoding") != "identity" || !strings.Contains(p.Detail, "without Content-Encoding: gzip") {
		t.Errorf("%v %s", compressed.Header, compressed.body)
	}
	shop.do("POST", "/api/auth/login", "{}", "Content-Encoding", "identity").expectProblem(422, errs.Invalid, "email")
}

// What a body's text is wrong in is said with the place, and numbers as people
// write them.
func TestBadInput_DetailIsReadable(t *testing.T) {
	shop := open(t)
	for _, tt := range []struct {
		method, path, body string
		status             int
		detail             string
	}{
		{"POST", "/api/auth/login", "{\"email\":\"a\",\"password\":\"pass\xe4word9\"}", 400, "the body is not JSON at byte 29: invalid UTF-8"},
		{"POST", "/api/auth/login", `{"email":"a"`, 400, "the body is not JSON at byte 12: the text ends too early"},
		{"GET", "/api/products?page=1000001", "", 422, "page must be at most 1000000"},
		{"GET", "/api/products?limit=0", "", 422, "limit must be at least 1"},
		{"PUT", "/api/products/A/stock", `{"on_hand":1000000001}`, 422, "on_hand must be at most 1000000000"},
		{"POST", "/api/products/A/stock/adjustments", `{"delta":-1000000001,"reason":"x"}`, 422, "delta must be at least -1000000000"},
		{"POST", "/api/auth/login", `{"email":5,"password":"p"}`, 422, "email must be a string"},
		{"PATCH", "/api/orders/ord_1", `{"status":"paid"}`, 422, `status must be one of "cancelled, shipped, delivered"`},
		{"GET", "/api/products?sort=price", "", 422, "sort is unknown; known: q, category, page, limit, after"},
	} {
		if p := shop.do(tt.method, tt.path, tt.body, "Authorization", shop.staff()).expectProblem(tt.status, errs.Invalid, "*"); p.Detail != tt.detail {
			t.Errorf("%s %s: %s", tt.method, tt.path, p.Detail)
		}
	}
}

// A body full of faults is told a few of them.
func TestBadInput_AtMostEightFaults(t *testing.T) {
	shop := open(t)
	p := shop.do("POST", "/api/orders", `{"items":[`+strings.Repeat(`{},`, 900)+`{}]}`, "Authorization", shop.ana()).expectProblem(422, errs.Invalid, "items[0].quantity")
	if len(p.Errors) != 8 || p.Errors[7].Field != "items[3].sku" {
		t.Errorf("%+v", p.Errors)
	}
}

// A service refuses a position that is not recorded; whoever sent it is told
// which header that is.
func TestConsistency_UnrecordedPositionIsRejected(t *testing.T) {
	shop := open(t)
	for _, subject := range []string{"queries.catalog.products", "queries.payments.payment", "commands.orders.place"} {
		shop.fake(subject, func(m *nats.Msg) any {
			return errs.InvalidField("lonja-after", "speaks of %s, which is not recorded; ask without it", header(m).After)
		})
	}
	const token = "CATALOG:999999999"
	for _, r := range []*response{
		shop.do("GET", "/api/products", nil, "Consistency-Token", token),
		shop.do("GET", "/sandbox/payments/pay_1?after="+token, nil),
		shop.do("POST", "/api/orders", `{"items":[{"sku":"A","quantity":1}]}`, "Consistency-Token", token, "Authorization", shop.ana()),
	} {
		if p := r.expectProblem(400, errs.Invalid, "Consistency-Token"); p.Detail != "Consistency-Token speaks of CATALOG:999999999, which is not recorded; ask without it" {
			t.Errorf("%s", p.Detail)
		}
	}
}

// A key that a route would ignore promises what nobody keeps.
func TestIdempotencyKey_RejectedWhereUnsupported(t *testing.T) {
	shop := open(t)
	for _, route := range shop.operations() {
		takes := route.method == "POST" && (route.path == "/api/orders" || route.path == "/api/products" || route.path == "/api/auth/register" ||
			route.path == "/api/products/A/stock/adjustments" || route.path == "/api/orders/ord_1/payments" || strings.HasPrefix(route.path, "/api/orders/ord_1/refunds")) ||
			route.method == "PATCH" && route.path == "/api/users/ord_1" || route.method == "PUT" && route.path == "/api/users/ord_1/email" ||
			route.method == "DELETE" && route.path == "/api/users/ord_1"
		r := shop.do(route.method, route.path, nil, "Authorization", shop.staff(), "Idempotency-Key", "k")
		var p problem
		_ = json.Unmarshal(r.body, &p)
		if refused := r.StatusCode == 422 && p.Field == "Idempotency-Key"; refused == takes {
			t.Errorf("%s %s: %d %s", route.method, route.path, r.StatusCode, r.body)
		}
	}
}

func TestBadInput_SecretsAreNotRepeated(t *testing.T) {
	shop := open(t)
	for _, body := range []string{`{"email":5,"password":"hunter2!"}`, `{"email":"a","password":"hunter2!","x":1}`, `{"password":"hunter2!`, `{"password":["hunter2!"]}`} {
		if r := shop.do("POST", "/api/auth/login", body); strings.Contains(string(r.body), "hunter2") {
			t.Errorf("%s", r.body)
		}
	}
}

// With every service away, every route says so, and says when to come back.
func TestServices_DownAreUnavailable(t *testing.T) {
	shop := open(t)
	for _, path := range []string{"/api/products", "/api/products/A", "/api/products/A/stock", "/api/orders", "/api/orders/ord_1",
		"/api/orders/ord_1/timeline", "/api/orders/ord_1/receipt", "/api/orders/ord_1/stream", "/api/users", "/api/auth/verify", "/sandbox/payments/pay_1"} {
		r := shop.do("GET", path, nil, "Authorization", shop.staff())
		p := r.expectProblem(http.StatusServiceUnavailable, errs.Unavailable, "")
		if r.Header.Get("Retry-After") != "1" || !strings.HasPrefix(p.Instance, "urn:trace:") {
			t.Errorf("%s: %v %s", path, r.Header, r.body)
		}
	}
	if err := shop.JS.DeleteStream(t.Context(), "DEFERRED"); err != nil { // nor can a command be left for later
		t.Fatal(err)
	}
	shop.do("POST", "/api/orders", `{"items":[{"sku":"A","quantity":1}]}`, "Authorization", shop.ana()).expectProblem(503, errs.Unavailable, "")
}
