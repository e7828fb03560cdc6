package catalog

import (
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// More anonymous queries than the service has slots name a position that is not recorded
// yet. They are rejected at once, and another reader is answered.
func TestQueries_PositionsThatDoNotExistTakeNoSlots(t *testing.T) {
	shop := shoptest.Start(t, New())
	const forged = 1300
	inbox := nats.NewInbox()
	answers, err := shop.Conn.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	header := eventlog.Envelope{After: "CATALOG:999999999"}.Header()
	for range forged {
		if err := shop.Conn.PublishMsg(&nats.Msg{Subject: "queries.catalog.products", Reply: inbox, Header: header}); err != nil {
			t.Fatal(err)
		}
	}
	var list query.List[query.ProductView]
	shop.Get(query.Products{}, eventlog.Actor{}, "", &list)
	for n := range forged {
		m, err := answers.NextMsgWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if code := m.Header.Get(bus.HeaderErrorCode); code != string(errs.Invalid) {
			t.Fatalf("query %d: %q %s", n, code, m.Data)
		}
	}
}
