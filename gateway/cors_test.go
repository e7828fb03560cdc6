package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/httpapi"
)

const storefront = "https://storefront.example"

func TestCORS_NamedOriginsMayCall(t *testing.T) {
	shop := openWith(t, gateway.Config{CORSOrigins: []string{"https://other.example", storefront}})
	shop.fake("queries.catalog.products", func(*nats.Msg) any { return query.List[query.ProductView]{} })
	for _, route := range shop.operations() {
		// As a browser asks: in lower case, sorted, one header.
		r := shop.do("OPTIONS", route.path, nil, "Origin", storefront, "Access-Control-Request-Method", route.method,
			"Access-Control-Request-Headers", "authorization,consistency-token,content-type,idempotency-key,last-event-id,prefer").expect(204, nil)
		if r.Header.Get("Access-Control-Allow-Origin") != storefront || !strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), route.method) ||
			!strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "idempotency-key") || r.Header.Get("Access-Control-Allow-Credentials") != "" ||
			!strings.Contains(strings.Join(r.Header["Vary"], ","), "Origin") {
			t.Errorf("%s %s: %v", route.method, route.path, r.Header)
		}
	}
	for path, status := range map[string]int{"/api/products": 200, "/api/orders": 401, "/api/nothing": 404, "/api/products?sort=price": 422, "/api/products/": 308} {
		r := shop.do("GET", path, nil, "Origin", storefront).expect(status, nil)
		if r.Header.Get("Access-Control-Allow-Origin") != storefront {
			t.Errorf("%s: %v", path, r.Header)
		}
		for _, name := range []string{"Consistency-Token", "Location", "Retry-After", "Idempotent-Replayed", "Preference-Applied", "Www-Authenticate"} {
			if !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), name) {
				t.Errorf("%s: a page cannot read %s: %v", path, name, r.Header)
			}
		}
		if r := shop.do("GET", path, nil, "Origin", "https://storefront.example.evil"); r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s for a stranger: %v", path, r.Header)
		}
	}
	r := shop.do("OPTIONS", "/api/products", nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
	if r.Header.Get("Access-Control-Allow-Origin") != "" || r.Header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("a stranger's preflight: %v", r.Header)
	}
}

func TestCORS_AllOriginsMayCallWithoutCookies(t *testing.T) {
	shop := openWith(t, gateway.Config{CORSOrigins: []string{"https://other.example", "*"}})
	r := shop.do("GET", "/api/nothing", nil, "Origin", storefront)
	if r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%v", r.Header)
	}
	for _, bad := range []string{"", "shop.example", "https://shop.example/", "https://*.example", "null", "https://a.example, https://b.example", "ftp://shop.example"} {
		if httpapi.CheckCORSOrigins([]string{storefront, bad}) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// Without it, a browser hears what there is, and not that it may call it.
func TestOptions_ListsTheMethods(t *testing.T) {
	shop := open(t)
	for path, allow := range map[string]string{
		"/api/orders": "GET, HEAD, POST, OPTIONS", "/api/products/A": "DELETE, GET, HEAD, PATCH, OPTIONS", "/sandbox/payments/pay_1": "GET, HEAD, POST, OPTIONS",
		"/api/auth/login": "POST, OPTIONS", "/docs": "GET, HEAD, OPTIONS",
	} {
		r := shop.do("OPTIONS", path, nil, "Origin", storefront, "Access-Control-Request-Method", "GET").expect(204, nil)
		if r.Header.Get("Allow") != allow || len(r.body) > 0 || r.Header.Get("Content-Type") != "" || r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v %s", path, r.Header, r.body)
		}
	}
	shop.do("OPTIONS", "/api/nothing", nil).expect(404, nil)
}

func TestTrailingSlash_RedirectsToTheRoute(t *testing.T) {
	shop := open(t)
	for _, tt := range []struct{ method, path, location string }{
		{"GET", "/api/products/", "/api/products"},
		{"GET", "/api/products/?q=lamp&page=2", "/api/products?q=lamp&page=2"},
		{"POST", "/api/orders/", "/api/orders"},
		{"PUT", "/api/products/A/stock/", "/api/products/A/stock"},
		{"GET", "/api/products/a%20b/", "/api/products/a%20b"},
		{"GET", "/healthz/", "/healthz"},
	} {
		if r := shop.do(tt.method, tt.path, nil).expect(308, nil); r.Header.Get("Location") != tt.location {
			t.Errorf("%s %s leads to %q", tt.method, tt.path, r.Header.Get("Location"))
		}
	}
	shop.do("DELETE", "/api/orders/", nil).expect(404, nil)
	shop.do("GET", "/docs/", nil).expect(200, nil)
	for _, path := range []string{"//evil.example/../api/products/", "/\\evil.example/../api/products/", "//evil.example/%2e%2e/api/products/", "/api//products/"} {
		r := shop.raw("GET " + path + " HTTP/1.1\r\nHost: shop\r\n\r\n")
		if to := r.Header.Get("Location") + "  "; to[0] != ' ' && to[0] != '/' || to[1] == '/' || to[1] == '\\' {
			t.Errorf("%s leads to %d %q", path, r.StatusCode, to)
		}
	}
}

// raw sends bytes as they are and returns the first answer.
func (f *testShop) raw(request string) *http.Response {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.server.URL, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, request)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp
}
