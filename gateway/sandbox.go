package gateway

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/bojanz/currency"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
)

// The sandbox is a payment provider that believes whoever has the link. Its
// page works in any browser without scripts.

//go:embed sandbox.html
var sandboxHTML string

//go:embed sandbox.css
var sandboxCSS string

var (
	sandboxPage   = template.Must(template.New("sandbox").Parse(sandboxHTML))
	sandboxPolicy = "default-src 'none'; style-src 'sha256-" + hashOf(sandboxCSS) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

type settlement struct {
	Outcome string `json:"outcome" enum:"pay,decline"`
}

func showPayment(c *call) error {
	id := events.PaymentID(c.r.PathValue("id"))
	if err := known(id); err != nil {
		return err
	}
	// After the form, the browser comes back with what it has done.
	c.seen = seen(c.seen, c.r.URL.Query().Get(afterParam.Name))
	a, err := c.ask(query.Payment{PaymentID: id})
	if err != nil {
		return err
	}
	if accept := c.r.Header.Get("Accept"); strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html") {
		return c.writeJSON(http.StatusOK, json.RawMessage(a.Body))
	}
	return c.showSandbox(http.StatusOK, a.Body, "")
}

func settlePayment(c *call) error {
	id := events.PaymentID(c.r.PathValue("id"))
	if err := known(id); err != nil {
		return err
	}
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err == nil && kind == formType {
		return c.settleByForm(id)
	}
	wish, err := decode[settlement](c)
	if err != nil {
		return err
	}
	a, err := c.do(command.SettlePayment{PaymentID: id, Outcome: wish.Outcome})
	if err != nil {
		return err
	}
	c.w.Header().Set(consistencyHeader, a.Seen)
	return c.writeJSON(http.StatusOK, json.RawMessage(a.Body))
}

// settleByForm sends the browser back to the page, which then shows what came
// of it. A refusal is shown on the page, too.
func (c *call) settleByForm(id events.PaymentID) error {
	raw, release, err := c.body()
	if err != nil {
		return err
	}
	form, err := fields(string(raw), []string{"outcome"})
	release()
	if err != nil {
		return err
	}
	a, err := c.do(command.SettlePayment{PaymentID: id, Outcome: form.Get("outcome")})
	var r *errs.Error
	if errors.As(err, &r) && r.Code == errs.Conflict {
		payment, askErr := c.ask(query.Payment{PaymentID: id})
		if askErr != nil {
			return err
		}
		return c.showSandbox(http.StatusConflict, payment.Body, r.Detail)
	}
	if err != nil {
		return err
	}
	c.w.Header().Set(consistencyHeader, a.Seen)
	http.Redirect(c.w, c.r, "/sandbox/payments/"+string(id)+"?"+afterParam.Name+"="+url.QueryEscape(a.Seen), http.StatusSeeOther)
	return nil
}

// outcomes is what the page says of a payment that waits for nobody.
var outcomes = map[string]string{
	query.PaymentCaptured: "Paid. Thank you!",
	query.PaymentDeclined: "The payment was declined.",
	query.PaymentExpired:  "The time to pay is over.",
	query.PaymentVoided:   "The order was cancelled; nothing is to be paid.",
	query.PaymentRefunded: "The money was sent back.",
}

func (c *call) showSandbox(status int, body []byte, notice string) error {
	var p query.PaymentView
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	sum, err := currency.NewAmountFromInt64(p.Amount.Amount, p.Amount.Currency)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	err = sandboxPage.Execute(&page, map[string]any{
		"CSS": template.CSS(sandboxCSS), "Payment": p, "Sum": sum.Number(), "Notice": notice,
		"Pending": p.Status == query.PaymentPending, "Outcome": outcomes[p.Status], "Pay": command.Pay, "Decline": command.Decline,
	})
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", sandboxPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(page.Bytes())
	return nil
}
