package payments

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/service"
)

const (
	order = events.OrderID("ord_ana")
	id    = events.PaymentID("pay_ana")
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amount = events.Money{Amount: 1695, Currency: "GBP"}

	awaiting  = events.OrderAwaitingPayment{OrderID: order, Amount: amount}
	cancelled = events.OrderCancelled{OrderID: order, Reason: events.CancelledByCustomer}
	pays      = command.SettlePayment{PaymentID: id, Outcome: command.Pay}
	declines  = command.SettlePayment{PaymentID: id, Outcome: command.Decline}

	requested = events.PaymentRequested{PaymentID: id, OrderID: order, Amount: amount, Provider: "sandbox",
		URL: "/sandbox/payments/pay_ana", ExpiresAt: noon.Add(15 * time.Minute)}
	captured = events.PaymentCaptured{PaymentID: id, OrderID: order, Amount: amount}
	unwanted = events.PaymentCaptured{PaymentID: id, OrderID: order, Amount: amount, Unwanted: true}
	again    = events.PaymentCaptured{PaymentID: id, OrderID: order, Amount: amount, Unwanted: true, Again: true, Attempt: 1}
	declined = events.PaymentDeclined{PaymentID: id, OrderID: order} // as earlier versions recorded it
	failed   = events.PaymentAttemptFailed{PaymentID: id, OrderID: order, Attempt: 1, Reason: events.AttemptDeclined}
	retried  = events.PaymentRetried{PaymentID: id, OrderID: order, Attempt: 2, Provider: "sandbox", URL: "/sandbox/payments/pay_ana"}
	second   = events.PaymentCaptured{PaymentID: id, OrderID: order, Amount: amount, Attempt: 2}
	retries  = command.RetryPayment{PaymentID: id}
	expired  = events.PaymentExpired{PaymentID: id, OrderID: order}
	voided   = events.PaymentVoided{PaymentID: id, OrderID: order}
	returned = events.PaymentRefunded{PaymentID: id, OrderID: order, Amount: amount} // by an earlier version

	goesBack = events.PaymentRefundRequested{PaymentID: id, OrderID: order, RefundID: "ref_ana", Amount: amount}
	wentBack = events.PaymentRefunded{PaymentID: id, OrderID: order, RefundID: "ref_ana", Amount: amount}
)

func given(recorded ...events.Event) (p payment) {
	for _, event := range recorded {
		p = evolve(p, event, noon)
	}
	return p
}

// decide calls the decision about a command or an event. A PaymentRequested is its own
// reminder.
func decide(p payment, when any) (events.Event, error) {
	m := decider.Meta{EntityID: string(id), Now: noon}
	switch w := when.(type) {
	case command.SettlePayment:
		return settle(p, w, m)
	case command.RetryPayment:
		return providers{Sandbox()}.retry(p, w, m)
	case command.ReportPayment:
		m.Actor.ID = command.ProviderActor(w.Provider)
		return providers{Sandbox()}.report(p, w, m)
	case events.OrderAwaitingPayment:
		return request(Sandbox(), 15*time.Minute)(p, w, m)
	case events.OrderCancelled:
		return withdraw(p, w, m)
	case events.PaymentCaptured:
		if ifUnwanted(w) == "" {
			return nil, nil
		}
		return giveBack(p, w, m)
	case events.OrderRefundRequested:
		return refundPart(p, w, m)
	case answer:
		return recordRefund(p, w.of, service.Outcome[struct{}]{Err: w.err}, m)
	case events.PaymentRequested:
		return expire(p, w, m)
	}
	panic("there is no decision about this")
}

func TestDecide_PaymentIsRequestedSettledAndRefunded(t *testing.T) {
	type log = []events.Event
	for _, c := range []struct {
		name  string
		given log
		when  any
		then  events.Event
	}{
		{"an order awaits its money", nil, awaiting, requested},
		{"the customer pays", log{requested}, pays, captured},
		{"the bank declines", log{requested}, declines, failed},
		{"another attempt", log{requested, failed}, retries, retried},
		{"which pays", log{requested, failed, retried}, pays, second},
		{"another attempt instead of an open one", log{requested}, retries, retried},
		{"nobody pays in time", log{requested}, requested, expired},
		{"the customer pays late", log{requested, expired}, pays, captured},
		{"the order is cancelled before", log{requested}, cancelled, voided},
		{"and then the money comes", log{requested, voided}, pays, unwanted},
		{"and goes back", log{requested, voided, unwanted}, unwanted, goesBack},
		{"which the provider does", log{requested, voided, unwanted, goesBack}, answer{of: goesBack}, wentBack},
		{"the order is cancelled after", log{requested, captured}, cancelled, goesBack},
		{"an earlier version was stopped before it refunded", log{requested, expired, captured}, cancelled, goesBack},
		{"the order is cancelled before its payment was requested", nil, cancelled, voided},
	} {
		t.Run(c.name, func(t *testing.T) {
			then, err := decide(given(c.given...), c.when)
			if err != nil || !reflect.DeepEqual(then, c.then) {
				t.Errorf("got  %+v %v\nwant %+v", then, err, c.then)
			}
			if then.Check() != nil {
				t.Errorf("the event is invalid: %v", then.Check())
			}
		})
	}
}

func TestRequest_FreeOrderNeedsNoPayment(t *testing.T) {
	free := events.OrderAwaitingPayment{OrderID: order, Amount: events.Money{Currency: "GBP"}}
	if then, err := decide(given(), free); then != nil || err != nil {
		t.Errorf("got %+v %v", then, err)
	}
}

// TestDecide_EveryCommandAndEventInEveryState holds all that payments decides. "-" means no
// event; not_found and conflict are the codes of errors.
func TestDecide_EveryCommandAndEventInEveryState(t *testing.T) {
	states := map[string][]events.Event{
		"unknown":  nil,
		"failed":   {requested, failed},
		"retried":  {requested, failed, retried},
		"again":    {requested, retried, second, again},
		"never":    {voided},
		"pending":  {requested},
		"captured": {requested, captured},
		"late":     {requested, expired, captured},
		"unwanted": {requested, voided, unwanted},
		"declined": {requested, declined},
		"expired":  {requested, expired},
		"voided":   {requested, voided},
		"refunded": {requested, captured, returned},
		"asked":    {requested, captured, goesBack},
		"given":    {requested, captured, goesBack, wentBack},
	}
	const grid = `
state    | awaiting  | cancelled | reminder | captured | unwanted | pay       | decline        | retry
unknown  | requested | voided    | -        | -        | -        | not_found | not_found      | conflict
never    | -         | -         | -        | -        | -        | not_found | not_found      | conflict
pending  | -         | voided    | expired  | -        | -        | captured  | attempt_failed | retried
failed   | -         | voided    | expired  | -        | -        | conflict  | -              | retried
retried  | -         | voided    | expired  | -        | -        | captured  | attempt_failed | retried
again    | -         | back      | -        | -        | back     | -         | conflict       | conflict
captured | -         | back      | -        | -        | back     | -         | conflict       | conflict
late     | -         | back      | -        | -        | back     | -         | conflict       | conflict
unwanted | -         | back      | -        | -        | back     | -         | conflict       | conflict
declined | -         | -         | -        | -        | -        | conflict  | -              | conflict
expired  | -         | voided    | -        | -        | -        | captured  | conflict       | conflict
voided   | -         | -         | -        | -        | -        | captured  | conflict       | conflict
refunded | -         | -         | -        | -        | -        | -         | conflict       | conflict
asked    | -         | -         | -        | -        | -        | -         | conflict       | conflict
given    | -         | -         | -        | -        | -        | -         | conflict       | conflict`
	arriving := map[string]any{"awaiting": awaiting, "cancelled": cancelled, "reminder": requested,
		"captured": captured, "unwanted": unwanted, "pay": pays, "decline": declines, "retry": retries}
	rows := strings.Split(strings.TrimSpace(grid), "\n")
	if len(rows)-1 != len(states) {
		t.Fatalf("%d rows for %d states", len(rows)-1, len(states))
	}
	for _, row := range rows[1:] {
		for i, want := range cells(row)[1:] {
			state, column := cells(row)[0], cells(rows[0])[i+1]
			got := shortName(decide(given(states[state]...), arriving[column]))
			if got == "refund_requested" {
				got = "back"
			}
			if got != want {
				t.Errorf("%s, %s: got %s, want %s", state, column, got, want)
			}
		}
	}
}

func cells(row string) []string {
	cells := strings.Split(row, "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// shortName returns the last part of an event's name or the code of an error, "-" for
// neither.
func shortName(event events.Event, err error) string {
	if e, coded := errs.As(err); coded {
		return string(e.Code)
	}
	if event == nil {
		return "-"
	}
	return strings.Split(event.EventName(), ".")[1]
}

func TestReply_ShowsTheRequestAndTheStatus(t *testing.T) {
	want := query.PaymentView{ID: id, OrderID: order, Provider: "sandbox", Status: query.PaymentRefunded, Amount: amount, URL: "/sandbox/payments/pay_ana"}
	if got := reply(given(requested, voided, unwanted, returned), nil); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
