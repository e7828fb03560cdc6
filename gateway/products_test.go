package gateway_test

import (
	"strings"
	"testing"

	"lonja/events"
	"lonja/events/query"
	"lonja/internal/refusal"
	"lonja/services/catalog"
)

var lantern = events.Product{SKU: "71053", Name: "White metal lantern", Price: events.Money{Amount: 339, Currency: "GBP"}}

func TestAProductOverHTTP(t *testing.T) {
	shop := open(t, catalog.New())
	staff := shop.staff()

	var created query.ProductView
	r := shop.do("POST", "/api/products", lantern, "Authorization", staff).gives(201, &created)
	seen := r.Header.Get("Consistency-Token")
	if created.Product != lantern || r.Header.Get("Location") != "/api/products/71053" || !strings.HasPrefix(seen, "CATALOG:") {
		t.Fatalf("created %s %v", r.body, r.Header)
	}
	shop.do("POST", "/api/products", lantern, "Authorization", staff).refuses(409, refusal.Conflict, "")

	var list query.List[query.ProductView]
	shop.do("GET", "/api/products?q=lantern&limit=5", nil, "Consistency-Token", seen).gives(200, &list)
	if list.Meta.Total != 1 || list.Data[0].SKU != lantern.SKU {
		t.Fatalf("found %+v", list)
	}

	var changed query.ProductView
	r = shop.do("PATCH", "/api/products/71053", `{"price":{"amount":295,"currency":"GBP"}}`, "Authorization", staff).gives(200, &changed)
	if changed.Price.Amount != 295 || changed.Name != lantern.Name {
		t.Fatalf("changed %s", r.body)
	}
	r = shop.do("DELETE", "/api/products/71053", nil, "Authorization", staff).gives(204, nil)
	var gone query.ProductView
	shop.do("GET", "/api/products/71053", nil, "Consistency-Token", r.Header.Get("Consistency-Token")).gives(200, &gone)
	if len(r.body) != 0 || gone.Available {
		t.Fatalf("archived %+v", gone)
	}
	shop.do("GET", "/api/products/nothing", nil).refuses(404, refusal.NotFound, "")
}
