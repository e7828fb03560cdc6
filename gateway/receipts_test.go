package gateway_test

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/errs"
)

// receiptOf is a receipt with something in it that a browser must not take for a script.
func receiptOf(credits ...query.CreditNote) query.ReceiptView {
	gbp := func(n int64) events.Money { return events.Money{Amount: n, Currency: "GBP"} }
	at := time.Date(2026, 11, 28, 23, 12, 17, 0, time.UTC)
	return query.ReceiptView{Number: 1042, OrderID: "ord_1", CustomerID: "usr_ana", OrderedAt: at, PaidAt: at.Add(time.Minute), IssuedAt: at.Add(time.Hour),
		Items: []events.OrderItem{{SKU: "71053", Name: `<script>alert("x")</script>`, Quantity: 2, UnitPrice: gbp(123_456), LineTotal: gbp(246_912)}},
		Total: gbp(246_912), TotalItems: 2, Credits: append([]query.CreditNote{}, credits...), Balance: gbp(246_912)}
}

func TestReceipt_Page(t *testing.T) {
	shop := openWith(t, gateway.Config{PublicURL: "https://shop.example:8443", ShopName: "Lonja & Co", ShopAddress: "1 Market Square, Leeds\nUK"})
	note := query.CreditNote{Number: 7, IssuedAt: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Amount: events.Money{Amount: 678, Currency: "GBP"}}
	answer := receiptOf(note)
	answer.Balance.Amount -= 678
	shop.fake("queries.receipts.receipt", func(m *nats.Msg) any {
		if env := header(m); env.Actor.ID != "usr_ana" || string(m.Data) != `{"order_id":"ord_1"}` {
			return errs.New(errs.Internal, "asked by %s for %s", env.Actor.ID, m.Data)
		}
		return receipt{position: "RECEIPTS:4", body: answer}
	})
	r := shop.do("GET", "/api/orders/ord_1/receipt", nil, "Authorization", shop.ana(), "Accept", "text/html,application/xhtml+xml,*/*;q=0.8").expect(200, nil)
	page := string(r.body)
	for _, want := range []string{`<html lang="en">`, "Receipt <span>1042</span>", "Lonja &amp; Co</strong><br>1 Market Square<br>Leeds<br>UK</address>",
		"&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;", `<th scope="col">Product</th>`, "£1,234.56", "£2,469.12", "<dd>29 November 2026</dd>", "<dd>28 November 2026</dd>",
		`<th scope="row">7</th><td>1 December 2026</td>`, "-£6.78", "£2,462.34", "all amounts in GBP."} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	for _, never := range []string{"<script", "http:", "https:", "url(", "style="} {
		if strings.Contains(page, never) {
			t.Errorf("%q is in %s", never, page)
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	sum := sha256.Sum256([]byte(style[1]))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
	for name, want := range map[string]string{"Content-Security-Policy": want, "Content-Type": "text/html; charset=utf-8", "Vary": "Accept, Accept-Language",
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Consistency-Token": "RECEIPTS:4"} {
		if got := strings.Join(r.Header[name], ", "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestReceipt_Languages(t *testing.T) {
	shop := open(t)
	shop.fake("queries.receipts.receipt", func(*nats.Msg) any { return receiptOf() })
	for accept, want := range map[string]string{
		"":                               "Receipt <span>1042</span>",
		"es":                             "Recibo <span>1042</span>",
		"es-MX,es;q=0.9,en;q=0.8":        "29 de noviembre de 2026",
		"de, es;q=0.5":                   "2469,12",
		"de":                             "£2,469.12",
		"en-US,es;q=0.9":                 "Receipt <span>1042</span>",
		"*":                              "Receipt <span>1042</span>",
		"%%%, ;;;q=x":                    "Receipt <span>1042</span>",
		strings.Repeat("es-ES, ", 2_000): "Receipt <span>1042</span>",
	} {
		r := shop.do("GET", "/api/orders/ord_1/receipt", nil, "Authorization", shop.ana(), "Accept-Language", accept).expect(200, nil)
		if !strings.Contains(string(r.body), want) {
			t.Errorf("%.40q: no %q in %s", accept, want, r.body)
		}
	}
	free := receiptOf()
	free.Total.Amount, free.Balance.Amount = 0, 0
	shop.stopFake("queries.receipts.receipt")
	shop.fake("queries.receipts.receipt", func(*nats.Msg) any { return free })
	r := shop.do("GET", "/api/orders/ord_1/receipt", nil, "Authorization", shop.ana()).expect(200, nil)
	// Without a name, a shop is called as its customers reach it.
	if page := string(r.body); !strings.Contains(page, "There was nothing to pay.") || !strings.Contains(page, "<address><strong>shop.example</strong></address>") || strings.Contains(page, "given back") {
		t.Errorf("%s", page)
	}
}

func TestReceipt_JSON(t *testing.T) {
	shop := open(t)
	shop.fake("queries.receipts.receipt", func(*nats.Msg) any { return receiptOf() })
	var got query.ReceiptView
	r := shop.do("GET", "/api/orders/ord_1/receipt", nil, "Authorization", shop.ana(), "Accept", "application/json").expect(200, &got)
	if got.Number != 1042 || got.Items[0].Name != `<script>alert("x")</script>` || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Vary") != "Accept, Accept-Language" {
		t.Errorf("%+v %v", got, r.Header)
	}
}

func TestReceipt_Problems(t *testing.T) {
	shop := open(t)
	shop.fake("queries.receipts.receipt", func(*nats.Msg) any {
		return errs.New(errs.NotFound, "order ord_1 has no receipt, since it is not paid")
	})
	path := "/api/orders/ord_1/receipt"
	for _, accept := range []string{"text/html", "application/json"} {
		p := shop.do("GET", path, nil, "Authorization", shop.ana(), "Accept", accept).expectProblem(404, errs.NotFound, "")
		if p.Detail != "order ord_1 has no receipt, since it is not paid" {
			t.Errorf("%+v", p)
		}
	}
	shop.do("GET", path, nil).expectProblem(401, errs.Unauthenticated, "")
	shop.do("GET", "/api/orders/%3E/receipt", nil, "Authorization", shop.ana()).expectProblem(404, errs.NotFound, "")
	shop.do("GET", path+"?lang=es", nil, "Authorization", shop.ana()).expectProblem(422, errs.Invalid, "lang")
}
