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

var (
	staff    = eventlog.Actor{ID: "usr_staff", Roles: []string{events.Staff}}
	customer = eventlog.Actor{ID: "usr_ana", Roles: []string{events.Customer}}
	lantern  = events.Product{SKU: "71053", Name: "White metal lantern", Price: events.Money{Amount: 339, Currency: "GBP"}}
)

func TestProduct_IsCreatedFoundAndArchived(t *testing.T) {
	shop := shoptest.Start(t, New())
	shop.Fails(command.CreateProduct{Product: lantern}, customer, errs.Forbidden)

	var created query.ProductView
	receipt := shop.Do(command.CreateProduct{Product: lantern}, staff, &created)
	if created.Product != lantern || !created.Available {
		t.Fatalf("created %+v", created)
	}
	shop.Fails(command.CreateProduct{Product: lantern}, staff, errs.Conflict)

	var found query.List[query.ProductView]
	shop.Get(query.Products{Q: "LANTERNS"}, customer, receipt.Position, &found)
	if found.Meta.Total != 1 || found.Data[0].Product != lantern {
		t.Fatalf("found %+v", found)
	}

	receipt = shop.Do(command.ArchiveProduct{SKU: lantern.SKU}, staff, nil)
	shop.Get(query.Products{}, customer, receipt.Position, &found)
	if found.Meta.Total != 0 {
		t.Fatalf("an archived product is listed: %+v", found)
	}
	var archived query.ProductView
	shop.Get(query.Product{SKU: lantern.SKU}, customer, receipt.Position, &archived)
	if archived.Available || archived.Name != lantern.Name {
		t.Fatalf("archived %+v", archived)
	}
}

func TestProduct_IsRestoredAfterArchiving(t *testing.T) {
	shop := shoptest.Start(t, New())
	yes, no, dearer := true, false, events.Money{Amount: 400, Currency: "GBP"}
	var created, got query.ProductView
	shop.Do(command.CreateProduct{Product: lantern}, staff, &created)
	shop.Do(command.ChangeProduct{SKU: lantern.SKU, Available: &no}, staff, &got)
	last := shop.Do(command.ChangeProduct{SKU: lantern.SKU, Available: &no}, staff, nil) // changes nothing
	if got.Available || got.Product != lantern || last.Position != "CATALOG:2" {
		t.Fatalf("archived %+v at %s", got, last.Position)
	}
	shop.Fails(command.ChangeProduct{SKU: lantern.SKU, Price: &dearer}, staff, errs.Conflict)
	shop.Fails(command.ChangeProduct{SKU: lantern.SKU, Available: &yes}, customer, errs.Forbidden)
	shop.Fails(command.ChangeProduct{SKU: "nothing", Available: &yes}, staff, errs.NotFound)
	shop.Fails(command.ChangeProduct{SKU: "nothing", Available: &no}, staff, errs.NotFound)
	both := command.ChangeProduct{SKU: lantern.SKU, Price: &dearer, Available: &no}
	if e, _ := errs.As(both.Check()); e == nil || e.Field != "available" {
		t.Errorf("archived and changed at once: %v", both.Check())
	}

	shop.Do(command.ChangeProduct{SKU: lantern.SKU, Price: &dearer, Available: &yes}, staff, &got)
	back := lantern
	back.Price = dearer
	if !got.Available || got.Product != back {
		t.Fatalf("restored %+v", got)
	}
	last = shop.Do(command.ChangeProduct{SKU: lantern.SKU, Available: &yes}, staff, nil) // changes nothing
	if last.Position != "CATALOG:3" {
		t.Errorf("restored twice at %s", last.Position)
	}
	var shown query.ProductView
	shop.Get(query.Product{SKU: lantern.SKU}, customer, last.Position, &shown)
	if shown != got || !shown.CreatedAt.Equal(created.CreatedAt) || shown.UpdatedAt.Equal(created.UpdatedAt) {
		t.Errorf("shown %+v, restored %+v", shown, got)
	}
	var found query.List[query.ProductView]
	shop.Get(query.Products{Q: "lantern"}, customer, last.Position, &found)
	if found.Meta.Total != 1 || found.Data[0] != got {
		t.Errorf("found %+v", found)
	}
	shop.Do(command.ArchiveProduct{SKU: lantern.SKU}, staff, nil)
	shop.Do(command.ChangeProduct{SKU: lantern.SKU, Available: &yes}, staff, &got)
	if !got.Available {
		t.Errorf("restored once more %+v", got)
	}
}

func TestCreate_OneCommandIDCreatesOneProduct(t *testing.T) {
	shop := shoptest.Start(t, New())
	env := eventlog.Envelope{ID: eventlog.NewID(), Actor: staff}
	first, err := shop.Send(t.Context(), command.CreateProduct{Product: lantern}, env)
	if err != nil {
		t.Fatal(err)
	}
	again, err := shop.Send(t.Context(), command.CreateProduct{Product: lantern}, env)
	if err != nil || !again.Replayed || string(again.Body) != string(first.Body) {
		t.Fatalf("again: %v, %s", err, again.Body)
	}
	other := lantern
	other.SKU = "71054"
	for _, known := range []string{"to the duplicate window", "to the view"} {
		if known == "to the view" {
			var p query.ProductView
			shop.Get(query.Product{SKU: lantern.SKU}, staff, first.Position, &p)
		}
		if _, err := shop.Send(t.Context(), command.CreateProduct{Product: other}, env); !errs.Is(err, errs.Invalid) {
			t.Errorf("the same id for another product, known %s: %v", known, err)
		}
	}
}
