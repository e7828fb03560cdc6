package catalog

import (
	"testing"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

func TestProduct_RejectsScriptsAndMisleadingNames(t *testing.T) {
	shop := shoptest.Start(t, New())
	staff := eventlog.Actor{ID: "usr_staff", Roles: []string{events.Staff}}
	lamp := events.Product{SKU: "A", Name: "Lamp", Price: events.Money{Amount: 1, Currency: "GBP"}}
	rejects := func(cmd command.Command, field string) {
		t.Helper()
		_, err := shop.Send(t.Context(), cmd, eventlog.Envelope{Actor: staff})
		if e, ok := errs.As(err); !ok || e.Code != errs.Invalid || e.Field != field {
			t.Errorf("%+v: %v", cmd, err)
		}
	}
	script, turned := lamp, lamp
	script.ImageURL, turned.Name = "javascript:alert(1)", "\u202epmaL"
	rejects(command.CreateProduct{Product: script}, "image_url")
	rejects(command.CreateProduct{Product: turned}, "name")

	// What an earlier version accepted stays, and can still be found and changed.
	old := script
	old.SKU, old.Name, old.Category = "B", "Cafe\u0301", "Te\u0301"
	at := shop.Record("CATALOG", events.ProductCreated{Product: old})
	var shown query.ProductView
	shop.Get(query.Product{SKU: "B"}, staff, at, &shown)
	if shown.ImageURL != script.ImageURL || shown.Name != old.Name {
		t.Errorf("%+v", shown)
	}
	rejects(command.ChangeProduct{SKU: "B", ImageURL: &script.ImageURL}, "image_url")
	name := "The\u0301"
	shop.Do(command.ChangeProduct{SKU: "B", Name: &name}, staff, &shown)
	if shown.Name != "Thé" || shown.ImageURL != script.ImageURL {
		t.Errorf("%+v", shown)
	}
	fresh := lamp
	fresh.Name, fresh.Category = "Lampe e\u0301te\u0301", "Te\u0301"
	created := shop.Do(command.CreateProduct{Product: fresh}, staff, nil)
	for _, q := range []query.Products{{Q: "été"}, {Q: "e\u0301te\u0301"}} {
		var list query.List[query.ProductView]
		if shop.Get(q, staff, created.Position, &list); list.Meta.Total != 1 || list.Data[0].Name != "Lampe été" {
			t.Errorf("%q finds %+v", q.Q, list)
		}
	}
	var list query.List[query.ProductView]
	if shop.Get(query.Products{Category: "Te\u0301"}, staff, created.Position, &list); list.Meta.Total != 2 {
		t.Errorf("%+v", list)
	}
}
