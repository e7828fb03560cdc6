package gateway_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"lonja/gateway"
	"lonja/kit/asyncapi"
	"lonja/kit/errs"
	"lonja/kit/service"
	"lonja/kit/streams"
	"lonja/services/catalog"
)

func TestAsyncAPI_IsServedToOtherOriginsToo(t *testing.T) {
	yaml, err := os.ReadFile("../streams.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config, err := streams.Parse(yaml)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := asyncapi.New(asyncapi.Config{Info: asyncapi.Info{Title: "a shop", Version: "1"}, Services: []*service.Service{catalog.New()}, Streams: config})
	if err != nil {
		t.Fatal(err)
	}
	shop := openWith(t, gateway.Config{AsyncAPI: doc, CORSOrigins: []string{"https://storefront.example"}})
	r := shop.do("GET", "/asyncapi.json", nil, "Origin", "https://storefront.example").expect(200, nil)
	var served asyncapi.Document
	if err := json.Unmarshal(r.body, &served); err != nil || served.Operations["catalog.receive.commands.catalog.create"] == nil {
		t.Errorf("served %.200s (%v)", r.body, err)
	}
	if allowed := r.Header.Get("Access-Control-Allow-Origin"); allowed != "https://storefront.example" {
		t.Errorf("allowed to %q", allowed)
	}
	page := shop.do("GET", "/docs/events", nil).expect(200, nil)
	if !strings.Contains(string(page.body), "commands.catalog.create") || !strings.Contains(page.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("a page with %v: %.200s", page.Header, page.body)
	}
}

func TestAsyncAPI_IsNotServedWhereThereIsNone(t *testing.T) {
	shop := open(t)
	shop.do("GET", "/asyncapi.json", nil).expectProblem(404, errs.NotFound, "")
	if r := shop.do("GET", "/openapi.json", nil).expect(200, nil); strings.Contains(string(r.body), "/docs/events") {
		t.Error("the document leads to a page that is not there")
	}
}
