package events_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"lonja/events"
)

func TestTypeAndSubject_FollowFromTheEvent(t *testing.T) {
	e := events.OrderShipped{OrderID: "ord_1"}
	if got := events.Type(e); got != "lonja.order.shipped.v1" {
		t.Error(got)
	}
	if got := events.Subject(e); got != "events.order.ord_1.shipped" {
		t.Error(got)
	}
	if got := events.SubjectsOf("lonja.order.awaiting_payment.v1"); got != "events.order.*.awaiting_payment" {
		t.Error(got)
	}
}

func TestDecode_InvalidIsAnErrorThatNamesTheField(t *testing.T) {
	for name, test := range map[string]struct{ typ, data, want string }{
		"not JSON":          {"lonja.order.shipped.v1", "garbage", "not JSON at byte 1"},
		"unknown type":      {"lonja.order.eaten.v1", "{}", "unknown event type"},
		"unknown version":   {"lonja.order.shipped.v2", `{"order_id":"ord_1"}`, "unknown event type"},
		"no id":             {"lonja.order.shipped.v1", "{}", "order_id"},
		"an id with dots":   {"lonja.order.shipped.v1", `{"order_id":"a.b"}`, "order_id"},
		"wildcard":          {"lonja.product.archived.v1", `{"sku":"*"}`, "sku"},
		"no items":          {"lonja.order.placed.v1", `{"order_id":"o","customer_id":"c","total":{"amount":1,"currency":"GBP"}}`, "items"},
		"negative money":    {"lonja.product.created.v1", `{"sku":"a","name":"b","price":{"amount":-1,"currency":"GBP"}}`, "price.amount"},
		"fractional money":  {"lonja.product.created.v1", `{"sku":"a","name":"b","price":{"amount":1.5,"currency":"GBP"}}`, "price.amount"},
		"100 digits":        {"lonja.product.created.v1", `{"sku":"a","name":"b","price":{"amount":` + strings.Repeat("9", 100) + `,"currency":"GBP"}}`, "price.amount"},
		"mixed currencies":  {"lonja.order.placed.v1", `{"order_id":"o","customer_id":"c","items":[{"sku":"a","name":"n","quantity":1,"unit_price":{"amount":1,"currency":"EUR"},"line_total":{"amount":1,"currency":"EUR"}}],"total":{"amount":1,"currency":"GBP"}}`, "items[0].unit_price.currency"},
		"too many reserved": {"lonja.stock.counted.v1", `{"location":"main","sku":"a","on_hand":1,"reserved":2}`, "reserved"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := events.Decode(test.typ, []byte(test.data))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v and %v, want an error about %q", e, err, test.want)
			}
		})
	}
}

// The reason of a dead letter is the error, and it is shown to people who may not see whom an
// event is about.
func TestDecode_ErrorsQuoteNoValue(t *testing.T) {
	failed := 0
	for _, typ := range append(events.Types(), events.OlderTypes()...) {
		whole, err := os.ReadFile("testdata/" + typ + ".json")
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []string{`"ana.77315577@example.com"`, `"\u0007 77315577"`, `77315577`, `77315577.5`, `-77315577`, `["77315577"]`,
			`{"amount":77315577,"currency":"77315577"}`, `"` + strings.Repeat("77315577", 1000) + `"`, `"77315577`, `77315577}`} {
			for _, data := range replaceEach(t, whole, wrong) {
				if e, err := events.Decode(typ, data); err != nil {
					failed++
					if strings.Contains(err.Error(), "7731") {
						t.Errorf("%s: the error quotes the value: %.200s", typ, err)
					}
				} else if e == nil {
					t.Errorf("%s: neither an event nor an error", typ)
				}
			}
		}
	}
	if failed < 1000 {
		t.Errorf("only %d errors were seen", failed)
	}
}

// replaceEach returns the texts in which one value, on its way from the first to the last and
// at any depth, is replaced by another text.
func replaceEach(t *testing.T, whole []byte, by string) (texts [][]byte) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(whole))
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if err == io.EOF {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, isDelim := token.(json.Delim); isDelim {
			continue
		}
		start := before + int64(bytes.IndexFunc(whole[before:], func(r rune) bool { return !strings.ContainsRune(" \n\t,:", r) }))
		texts = append(texts, slices.Concat(whole[:start], []byte(by), whole[d.InputOffset():]))
	}
}

func TestIsToken(t *testing.T) {
	for _, good := range []string{"a", "85123A", "ord_0198f3", "A-b_9", strings.Repeat("x", 64)} {
		if !events.IsToken(good) {
			t.Errorf("%q should be a token", good)
		}
	}
	for _, bad := range []string{"", ".", "*", ">", "a.b", "a b", "é", "a\n", "a\x00", strings.Repeat("x", 65)} {
		if events.IsToken(bad) {
			t.Errorf("%q should not be a token", bad)
		}
	}
}

func TestMoney_NeverOverflows(t *testing.T) {
	gbp := func(n int64) events.Money { return events.Money{Amount: n, Currency: "GBP"} }
	if got, ok := gbp(295).Times(3); !ok || got != gbp(885) {
		t.Error(got, ok)
	}
	for _, n := range []int64{events.MaxAmount + 1, math.MaxInt64, -1} {
		if got, ok := gbp(1).Times(n); ok {
			t.Errorf("1 times %d is %v", n, got)
		}
	}
	if got, ok := gbp(math.MaxInt64).Times(math.MaxInt64); ok {
		t.Error(got)
	}
	if got, ok := gbp(events.MaxAmount).Plus(gbp(1)); ok {
		t.Error(got)
	}
	if got, ok := gbp(1).Plus(events.Money{Amount: 1, Currency: "EUR"}); ok {
		t.Error(got)
	}
	if got, ok := gbp(1).Plus(gbp(2)); !ok || got != gbp(3) {
		t.Error(got, ok)
	}
}

func TestMoney_StringIsAsPeopleWriteIt(t *testing.T) {
	for m, want := range map[events.Money]string{
		{Amount: 295, Currency: "GBP"}: "2.95 GBP",
		{Amount: 5, Currency: "EUR"}:   "0.05 EUR",
		{Amount: 295, Currency: "JPY"}: "295 JPY",
		{Amount: 295, Currency: "?"}:   `295 "?"`,
	} {
		if got := m.String(); got != want {
			t.Errorf("written %s, want %s", got, want)
		}
	}
}

// Earlier versions gave back all captured money, and named no refund.
func TestPaymentRefunded_OfEarlierVersionsHasNoRefund(t *testing.T) {
	e, err := events.Decode("lonja.payment.refunded.v1", []byte(`{"payment_id":"pay_1","order_id":"ord_1","amount":{"amount":590,"currency":"GBP"}}`))
	want := events.PaymentRefunded{PaymentID: "pay_1", OrderID: "ord_1", Amount: events.Money{Amount: 590, Currency: "GBP"}}
	if err != nil || e != want {
		t.Errorf("got %+v, %v", e, err)
	}
}
