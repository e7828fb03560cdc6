package gateway

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bojanz/currency"
	"golang.org/x/text/language"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/httpapi"
)

// A receipt is a page that prints well, works without scripts and loads nothing.

//go:embed receipt.html
var receiptHTML string

//go:embed receipt.css
var receiptCSS string

var (
	receiptPage   = template.Must(template.New("receipt").Parse(receiptHTML))
	receiptPolicy = "default-src 'none'; style-src 'sha256-" + hashOf(receiptCSS) + "'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)

func (g *gateway) showReceipt(c *httpapi.Call) error {
	id := events.OrderID(c.Request.PathValue("id"))
	if err := checkID(id); err != nil {
		return err
	}
	resp, err := c.QueryAndRespond(query.Receipt{OrderID: id})
	if err != nil {
		return err
	}
	h := c.Writer.Header()
	h.Set("Consistency-Token", resp.ConsistencyToken)
	h.Add("Vary", "Accept, Accept-Language")
	if prefersJSON(c.Request) {
		return c.WriteJSON(http.StatusOK, json.RawMessage(resp.Body))
	}
	var r query.ReceiptView
	if err := json.Unmarshal(resp.Body, &r); err != nil {
		return err
	}
	page, err := g.receiptPage(r, languageOf(c.Request))
	if err != nil {
		return err
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", receiptPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = c.Writer.Write(page)
	return nil
}

// prefersJSON reports whether a request asks for JSON where a browser gets a page.
func prefersJSON(r *http.Request) bool {
	accept := strings.Join(r.Header["Accept"], ",")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

type receiptLine struct {
	Name, SKU, UnitPrice, Total string
	Quantity                    int64
}

type creditLine struct {
	Number   int64
	IssuedAt string
	Amount   string
}

// receiptPage renders a receipt in a language.
func (g *gateway) receiptPage(r query.ReceiptView, w words) ([]byte, error) {
	money := currency.NewFormatter(currency.NewLocale(w.Lang))
	var failed error
	show := func(m events.Money) string {
		sum, err := currency.NewAmountFromInt64(m.Amount, m.Currency)
		if err != nil {
			failed = err
		}
		return money.Format(sum)
	}
	var lines []receiptLine
	for _, i := range r.Items {
		lines = append(lines, receiptLine{i.Name, string(i.SKU), show(i.UnitPrice), show(i.LineTotal), i.Quantity})
	}
	var credits []creditLine
	for _, n := range r.Credits {
		n.Amount.Amount = -n.Amount.Amount
		credits = append(credits, creditLine{n.Number, w.date(n.IssuedAt), show(n.Amount)})
	}
	var page bytes.Buffer
	err := receiptPage.Execute(&page, map[string]any{
		"CSS": template.CSS(receiptCSS), "Words": w, "Shop": g.shopName(), "Address": addressLines(g.ShopAddress), "Receipt": r,
		"IssuedAt": w.date(r.IssuedAt), "OrderedAt": w.date(r.OrderedAt), "PaidAt": w.date(r.PaidAt),
		"Lines": lines, "Total": show(r.Total), "Credits": credits, "Balance": show(r.Balance), "Currency": r.Total.Currency,
	})
	if err == nil {
		err = failed
	}
	return page.Bytes(), err
}

// shopName returns the name on a receipt: without one, the host at which customers reach the shop.
func (g *gateway) shopName() string {
	if g.ShopName != "" {
		return g.ShopName
	}
	u, err := url.Parse(g.PublicURL)
	if err != nil {
		return g.PublicURL
	}
	return u.Hostname()
}

// addressLines returns the lines of an address, which may be separated by commas, as in a flag.
func addressLines(address string) (lines []string) {
	for _, line := range strings.FieldsFunc(address, func(r rune) bool { return r == '\n' || r == ',' }) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// words are the texts of a receipt in one language.
type words struct {
	Lang, Receipt, Issued, Order, Ordered, Paid, Items, Product, Quantity, UnitPrice, Amount, Total, PaidInFull,
	NothingToPay, CreditNotes, CreditNote, Date, Balance, Currency string

	months     [12]string
	dateFormat string // day, month, year
}

// date returns the day, in UTC.
func (w words) date(t time.Time) string {
	t = t.UTC()
	return fmt.Sprintf(w.dateFormat, t.Day(), w.months[t.Month()-1], t.Year())
}

var english = words{
	Lang: "en", Receipt: "Receipt", Issued: "Issued", Order: "Order", Ordered: "Ordered", Paid: "Paid",
	Items: "What was bought", Product: "Product", Quantity: "Quantity", UnitPrice: "Unit price", Amount: "Amount", Total: "Total",
	PaidInFull: "Paid in full.", NothingToPay: "There was nothing to pay.", CreditNotes: "Money given back", CreditNote: "Credit note",
	Date: "Date", Balance: "Left of the total", Currency: "All days are in UTC, all amounts in",
	months:     [12]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	dateFormat: "%d %s %d",
}

var spanish = words{
	Lang: "es", Receipt: "Recibo", Issued: "Emitido", Order: "Pedido", Ordered: "Fecha del pedido", Paid: "Pagado",
	Items: "Artículos comprados", Product: "Artículo", Quantity: "Cantidad", UnitPrice: "Precio unitario", Amount: "Importe", Total: "Total",
	PaidInFull: "Pagado en su totalidad.", NothingToPay: "No había nada que pagar.", CreditNotes: "Importes devueltos", CreditNote: "Nota de abono",
	Date: "Fecha", Balance: "Resto del total", Currency: "Todos los días en UTC, todos los importes en",
	months:     [12]string{"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"},
	dateFormat: "%d de %s de %d",
}

// languages are those of receipts, the first for who understands none of them.
var (
	languages = []words{english, spanish}
	matcher   = language.NewMatcher([]language.Tag{language.English, language.Spanish})
)

// languageOf returns the texts in the language that a request prefers.
func languageOf(r *http.Request) words {
	const longest = 200 // more than browsers send
	accept := r.Header.Get("Accept-Language")
	if len(accept) > longest {
		return languages[0]
	}
	_, i := language.MatchStrings(matcher, accept)
	return languages[i]
}
