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
	"lonja/kit/httpapi"
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

func showPayment(c *httpapi.Call) error {
	id := events.PaymentID(c.Request.PathValue("id"))
	if err := known(id); err != nil {
		return err
	}
	a, err := c.Ask(query.Payment{PaymentID: id})
	if err != nil {
		return err
	}
	if accept := c.Request.Header.Get("Accept"); strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html") {
		return c.WriteJSON(http.StatusOK, json.RawMessage(a.Body))
	}
	return showSandbox(c, http.StatusOK, a.Body, "")
}

func settlePayment(c *httpapi.Call) error {
	id := events.PaymentID(c.Request.PathValue("id"))
	if err := known(id); err != nil {
		return err
	}
	if kind, _, err := mime.ParseMediaType(c.Request.Header.Get("Content-Type")); err == nil && kind == "application/x-www-form-urlencoded" {
		return settleByForm(c, id)
	}
	wish, err := httpapi.Body[settlement](c)
	if err != nil {
		return err
	}
	a, err := c.Do(command.SettlePayment{PaymentID: id, Outcome: wish.Outcome})
	if err != nil {
		return err
	}
	c.Writer.Header().Set("Consistency-Token", a.Seen)
	return c.WriteJSON(http.StatusOK, json.RawMessage(a.Body))
}

// settleByForm sends the browser back to the page, which then shows what came
// of it. A refusal is shown on the page, too.
func settleByForm(c *httpapi.Call, id events.PaymentID) error {
	form, err := c.Form("outcome")
	if err != nil {
		return err
	}
	a, err := c.Do(command.SettlePayment{PaymentID: id, Outcome: form.Get("outcome")})
	var r *errs.Error
	if errors.As(err, &r) && r.Code == errs.Conflict {
		payment, askErr := c.Ask(query.Payment{PaymentID: id})
		if askErr != nil {
			return err
		}
		return showSandbox(c, http.StatusConflict, payment.Body, r.Detail)
	}
	if err != nil {
		return err
	}
	c.Writer.Header().Set("Consistency-Token", a.Seen)
	http.Redirect(c.Writer, c.Request, "/sandbox/payments/"+string(id)+"?after="+url.QueryEscape(a.Seen), http.StatusSeeOther)
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

func showSandbox(c *httpapi.Call, status int, body []byte, notice string) error {
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
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", sandboxPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(page.Bytes())
	return nil
}
