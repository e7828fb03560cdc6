package main

import (
	"testing"

	"lonja/client"
	"lonja/events"
)

// TestCheckLog_FindsViolations checks the checker: it must find each violation.
func TestCheckLog_FindsViolations(t *testing.T) {
	const id = events.OrderID("ord_1")
	lines := []events.Quantity{{SKU: "A", Quantity: 2}}
	counted := events.StockCounted{Location: "main", Level: events.Level{SKU: "A", OnHand: 2}}
	placed, awaits, paid := events.OrderPlaced{OrderID: id}, events.OrderAwaitingPayment{OrderID: id}, events.OrderPaid{OrderID: id}
	reserved := events.StockReserved{OrderID: id, Lines: lines}
	committed := events.StockCommitted{OrderID: id, Lines: lines}
	amount := events.Money{Amount: 590, Currency: "GBP"}
	captured, refunded := events.PaymentCaptured{OrderID: id, Amount: amount}, events.PaymentRefunded{OrderID: id, Amount: amount}
	cancelled := events.OrderCancelled{OrderID: id}
	returned := events.StockReturned{OrderID: id, Lines: lines}
	receipt, credit := events.ReceiptIssued{OrderID: id, Number: 1}, events.ReceiptCredited{OrderID: id, Number: 1, Receipt: 1}
	tests := map[string]struct {
		log   []events.Event
		wrong bool
	}{
		"a paid order":          {[]events.Event{counted, placed, reserved, awaits, captured, paid, committed, receipt}, false},
		"cancelled, refunded":   {[]events.Event{counted, placed, reserved, awaits, captured, paid, committed, cancelled, refunded, returned, receipt, credit}, false},
		"never paid, refunded":  {[]events.Event{counted, placed, reserved, awaits, captured, cancelled, refunded, events.StockReleased{OrderID: id, Lines: lines}}, false},
		"paid, no receipt":      {[]events.Event{counted, placed, reserved, awaits, captured, paid, committed}, true},
		"two receipts":          {[]events.Event{counted, placed, reserved, awaits, captured, paid, committed, receipt, events.ReceiptIssued{OrderID: id, Number: 2}}, true},
		"a number left out":     {[]events.Event{counted, placed, reserved, awaits, captured, paid, committed, events.ReceiptIssued{OrderID: id, Number: 2}}, true},
		"refunded, no credit":   {[]events.Event{counted, placed, reserved, awaits, captured, paid, committed, cancelled, refunded, returned, receipt}, true},
		"credit, none refunded": {[]events.Event{counted, placed, reserved, awaits, captured, paid, committed, receipt, credit}, true},
		"still placed":          {[]events.Event{counted, placed, reserved}, true},
		"refunded in part":      {[]events.Event{counted, placed, reserved, awaits, captured, paid, committed, receipt, events.PaymentRefunded{OrderID: id, Amount: events.Money{Amount: 90, Currency: "GBP"}}, credit}, false},
		"refunded twice":        {[]events.Event{counted, placed, reserved, awaits, captured, paid, committed, receipt, refunded, credit, refunded, events.ReceiptCredited{OrderID: id, Number: 2, Receipt: 1}}, true},
		"captured twice":        {[]events.Event{counted, placed, reserved, awaits, captured, captured, paid, committed, receipt}, true},
		"paid without money":    {[]events.Event{counted, placed, reserved, awaits, paid, committed, receipt}, true},
		"cancelled, money kept": {[]events.Event{counted, placed, reserved, awaits, captured, cancelled, events.StockReleased{OrderID: id, Lines: lines}}, true},
		"cancelled, goods kept": {[]events.Event{counted, placed, reserved, awaits, cancelled}, true},
		"paid before reserved":  {[]events.Event{counted, placed, paid, reserved, captured, committed, receipt}, true},
		"oversold":              {[]events.Event{counted, placed, reserved, awaits, events.StockReserved{OrderID: "ord_2", Lines: lines}}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			trial := newTrial(fault{}, options{}, "")
			trial.log = &eventLog{order: map[string][]event{}}
			for _, e := range tt.log {
				f := event{typ: e.EventName()[:len(e.EventName())-len(".v1")], data: e}
				trial.log.all = append(trial.log.all, f)
				if of, ok := e.(events.OfOrder); ok && of.Order() == id {
					trial.log.order[string(id)] = append(trial.log.order[string(id)], f)
				}
			}
			trial.checkLog()
			if got := len(trial.failures) > 0; got != tt.wrong {
				t.Errorf("found %v", trial.failures)
			}
		})
	}
}

func TestCheckCommands_ComparesAnswersWithTheLog(t *testing.T) {
	ana := newUser(&shop{gateways: []string{"http://shop.example"}}, newHistory(), "ana@example.com", "", 0)
	ana.Client = ana.Session(client.WithTokens(client.Tokens{User: client.User{ID: "usr_1"}}))
	tests := map[string]struct {
		result  result
		order   string
		effects []events.OrderID
		wrong   bool
	}{
		"acknowledged and there":   {ok, "ord_1", []events.OrderID{"ord_1"}, false},
		"acknowledged and lost":    {ok, "ord_1", nil, true},
		"acknowledged, done twice": {ok, "ord_1", []events.OrderID{"ord_1", "ord_2"}, true},
		"acknowledged as another":  {ok, "ord_1", []events.OrderID{"ord_2"}, true},
		"refused and not there":    {failed, "", nil, false},
		"refused and done":         {failed, "", []events.OrderID{"ord_1"}, true},
		"in doubt, done":           {unknown, "", []events.OrderID{"ord_1"}, false},
		"in doubt, not done":       {unknown, "", nil, false},
		"in doubt, done twice":     {unknown, "", []events.OrderID{"ord_1", "ord_2"}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			trial := newTrial(fault{}, options{}, "")
			trial.load = &load{}
			c := &command{kind: "place", by: ana, path: "/api/orders", key: "k", result: tt.result, order: tt.order}
			trial.history.add(c)
			trial.log = &eventLog{caused: map[string][]event{}}
			for _, id := range tt.effects {
				f := event{typ: "order.placed", causation: c.commandID(), data: events.OrderPlaced{OrderID: id}}
				trial.log.caused[f.causation] = append(trial.log.caused[f.causation], f)
				trial.log.all = append(trial.log.all, f)
			}
			trial.checkCommands()
			if got := len(trial.failures) > 0; got != tt.wrong {
				t.Errorf("found %v", trial.failures)
			}
		})
	}
}
