package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"lonja/events"
)

// What a request may make the gateway allocate, more than one that says nothing:
// so much, and for each byte sent so many. A body is copied a few times while it
// is read and decoded, no more.
const (
	bytesForEachRequest = 256 << 10
	bytesForEachByte    = 8
)

// hostile are texts that cost more than they should when the gateway is careless:
// a head, something again and again, a tail.
var hostile = []struct{ name, head, again, tail string }{
	{"unknown members", `{"email":"a@b.c","password":"p"`, `,"x":0`, `}`},
	{"unknown members of a member", `{"email":{"":0`, `,"x":0`, `}}`},
	{"empty objects", `{"items":[`, `{},`, `{}]}`},
	{"items", `{"items":[`, `{"sku":"A","quantity":1},`, `{}]}`},
	{"items of an unknown list", `{"things":[`, `{},`, `{}]}`},
	{"roles", `{"roles":[`, `"staff",`, `"staff"]}`},
	{"roles that are none", `{"roles":[`, `"",`, `""]}`},
	{"one member again and again", `{"email":""`, `,"email":""`, `}`},
	{"a long name", `{"`, `x`, `":0}`},
	{"a long text", `{"email":"`, `x`, `","password":"p"}`},
	{"a text of escapes", `{"outcome":"`, `\u0000`, `"}`},
	{"a long number", `{"on_hand":`, `9`, `}`},
	{"nested lists", ``, `[`, ``},
	{"nested objects", ``, `{"x":`, ``},
	{"nothing but space", ``, ` `, `{}`},
	{"fields of a form", `outcome=pay`, `&x`, ``},
	{"a field of a form again and again", `outcome=pay`, `&outcome=pay`, ``},
	{"a form of escapes", `outcome=`, `%00`, ``},
}

// operations are the gateway's routes, out of its own description.
func (f *testShop) operations() (all []struct{ method, path string }) {
	f.t.Helper()
	var described struct {
		Paths map[string]map[string]json.RawMessage
	}
	f.do("GET", "/openapi.json", nil).expect(200, &described)
	for path, methods := range described.Paths {
		for method := range methods {
			path := strings.NewReplacer("{id}", "ord_1", "{sku}", "A").Replace(path)
			all = append(all, struct{ method, path string }{strings.ToUpper(method), path})
		}
	}
	if len(all) < 30 {
		f.t.Fatalf("only %d routes", len(all))
	}
	return all
}

// costs sends a request and returns how many bytes were allocated meanwhile.
func (f *testShop) costs(r *http.Request) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f.handler.ServeHTTP(httptest.NewRecorder(), r)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Whatever is sent, on any route, as a body or in the query: the gateway
// allocates a few bytes for each that arrives.
func FuzzRequestsAllocateInProportion(f *testing.F) {
	for _, h := range hostile {
		f.Add(h.head, h.again, h.tail, uint32(256<<10-1))
	}
	shop := open(f)
	routes, staff := shop.operations(), shop.as("usr_1", events.Staff)
	silent := map[string]uint64{}
	for range 2 { // the first time things are made that are kept
		for _, route := range routes {
			r := httptest.NewRequest(route.method, route.path, nil)
			r.Header.Set("Authorization", staff)
			silent[route.method+route.path] = shop.costs(r)
		}
	}
	f.Fuzz(func(t *testing.T, head, again, tail string, size uint32) {
		times := int(size%(256<<10)) / (len(again) + 1)
		body := head + strings.Repeat(again, times) + tail
		for _, route := range routes {
			query := url.PathEscape(body[:min(len(body), 20<<10)])
			for _, kind := range []string{"application/json", "application/x-www-form-urlencoded"} {
				r := httptest.NewRequest(route.method, route.path, strings.NewReader(body))
				r.Header.Set("Content-Type", kind)
				r.Header.Set("Authorization", staff)
				if kind != "application/json" {
					r.URL.RawQuery = query
				}
				if route.path == "/sandbox/payments/ord_1" {
					r.URL.RawQuery = ""
				}
				n := uint64(len(body) + len(r.URL.RawQuery))
				if cost := shop.costs(r); cost > silent[route.method+route.path]+bytesForEachRequest+bytesForEachByte*n {
					t.Errorf("%s %s as %s: %d bytes were allocated for %d", route.method, route.path, kind, cost, n)
				}
			}
		}
	})
}

// A list that has no limit could make the gateway hold more than was sent.
func TestMemory_EveryListInABodyIsBounded(t *testing.T) {
	shop := open(t)
	type schema struct {
		Ref        string `json:"$ref"`
		Type       string
		MaxItems   *int
		Items      *schema
		Properties map[string]*schema
	}
	var described struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct{ Schema *schema }
			}
		}
		Components struct{ Schemas map[string]*schema }
	}
	shop.do("GET", "/openapi.json", nil).expect(200, &described)
	lists := 0
	var look func(where string, s *schema)
	look = func(where string, s *schema) {
		if s == nil {
			return
		}
		if s.Ref != "" {
			s = described.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		}
		if s.Type == "array" {
			if lists++; s.MaxItems == nil {
				t.Errorf("%s has no maxItems", where)
			}
		}
		look(where+"[]", s.Items)
		for name, member := range s.Properties {
			look(where+"."+name, member)
		}
	}
	for path, methods := range described.Paths {
		for method, o := range methods {
			for _, body := range o.RequestBody.Content {
				look(method+" "+path, body.Schema)
			}
		}
	}
	if lists < 2 {
		t.Errorf("only %d lists were looked at", lists)
	}
}
